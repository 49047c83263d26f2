//! The loop of one rebuild worker: takes a batch, rebuilds it, settles it.

use super::batch::rebuild;
use crate::context::Context;
use crate::error::{During, ProjectorError};
use tokio_util::sync::CancellationToken;

/// Works until `stop`, then finishes the current batch.
///
/// Takes the entries that are ready and never waits for a batch to fill: at idle a single edit is a batch of one, under
/// load batches fill by themselves.
///
/// # Errors
/// When the queue fails. Every other failure is retried.
pub(crate) async fn work(context: &Context, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let queue = &context.deps.queue;
    let mut outages = 0;
    while !stop.is_cancelled() {
        let batch = queue.take(context.options().rebuild_batch_max).await.during("taking work from the queue")?;
        if batch.is_empty() {
            tokio::select! {
                () = stop.cancelled() => break,
                ready = queue.ready() => ready.during("waiting for work")?,
            }
            continue;
        }
        let started_ms = context.now_ms();
        let outage_delay = context.options().outage_backoff.delay(outages + 1);
        let rebuilt = rebuild(context, batch, outage_delay).await;
        let report = queue.settle(rebuilt.settlements).await.during("settling work")?;
        context.counters.quarantines.add(report.quarantined as usize);
        context.counters.rebuilds.add(1);
        let took_ms = context.now_ms().saturating_sub(started_ms);
        metrics::histogram!(crate::metrics::REBUILD_BATCH_MS).record(took_ms as f64);
        outages = match rebuilt.outage {
            None => 0,
            Some(error) => {
                context.will_retry(&error, outage_delay);
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = context.deps.clock.sleep(outage_delay) => outages.saturating_add(1),
                }
            }
        };
    }
    Ok(())
}
