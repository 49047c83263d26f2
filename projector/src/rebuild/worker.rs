//! One rebuild worker: take what is there, rebuild it, settle it.

use super::rebuild;
use crate::context::Context;
use crate::error::ProjectorError;
use tokio_util::sync::CancellationToken;

/// Works until it is told to stop. It takes what is ready at once and never waits for a batch to fill: at idle a single
/// edit is a batch of one, under load batches fill by themselves. Told to stop, it finishes the batch in hand.
///
/// # Errors
/// Only when the queue fails: everything else is tried again.
pub(crate) async fn work(context: &Context, stop: &CancellationToken) -> Result<(), ProjectorError> {
    const TAKING: &str = "taking work from the queue";
    let queue = &context.deps.queue;
    let mut outages = 0;
    while !stop.is_cancelled() {
        let batch = queue.take(context.options().rebuild_batch_max).await.map_err(ProjectorError::queue(TAKING))?;
        if batch.is_empty() {
            tokio::select! {
                () = stop.cancelled() => break,
                ready = queue.ready() => ready.map_err(ProjectorError::queue("waiting for work"))?,
            }
            continue;
        }
        let started_ms = context.now_ms();
        let outage_delay = context.options().outage_backoff.delay(outages + 1);
        let rebuilt = rebuild(context, batch, outage_delay).await;
        let report = queue.settle(rebuilt.settlements).await.map_err(ProjectorError::queue("settling work"))?;
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
