//! The intake pump: reads a batch of changes from the source, makes it durable in the queue, then confirms it to the
//! source.

use super::lease::LeaderLease;
use crate::context::Context;
use crate::error::{During, ProjectorError};
use futures::FutureExt;
use millstream_pipeline::Position;
use millstream_pipeline::queue::Work;
use millstream_pipeline::source::{ChangeSource, SourceError, SourceEvent};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// The failure that stopped the pump.
#[derive(Debug, thiserror::Error)]
pub(super) enum PumpError {
    /// The source cannot continue by itself.
    #[error("the source of changes stopped")]
    Source(#[source] SourceError),
    /// The queue failed; no more changes can be made durable.
    #[error(transparent)]
    Queue(ProjectorError),
    /// This process has lost the lease, or cannot check it.
    #[error(transparent)]
    Lease(ProjectorError),
}

/// Moves changes from the source to the queue until `stop` is cancelled.
///
/// A batch contains the events that the source has ready; it is closed once it has `intake_batch_max` records. While
/// one batch is being made durable, the source buffers the next one. A single change therefore does not wait, and a
/// burst arrives in large batches. Memory is bounded by one batch and the source's buffer.
///
/// NO-LOSS depends on this order: a position is confirmed only after `put` has returned for all work up to it.
pub(super) async fn pump(
    context: &Context,
    source: &mut dyn ChangeSource,
    lease: &LeaderLease,
    stop: &CancellationToken,
) -> Result<(), PumpError> {
    let max = context.options().intake_batch_max.max(1);
    loop {
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            // Cancellation safe: an event that is not returned here is returned by the next call.
            event = source.next() => Some(event),
            () = context.deps.clock.sleep(context.options().gauge_interval) => None,
        };
        lease.check(context).await.map_err(PumpError::Lease)?;
        if let Some(first) = first {
            let mut batch = IntakeBatch { history: context.history().unsigned_abs(), ..IntakeBatch::default() };
            batch.add(first.map_err(PumpError::Source)?, context.now_ms());
            let failed = batch.gather(source, max, context);
            // Changes that arrived before the failure are valid.
            put(context, source, batch).await?;
            if let Some(error) = failed {
                return Err(PumpError::Source(error));
            }
        }
        context.set_source_status(source.status());
    }
}

/// Makes a batch durable, confirms its position to the source, and publishes the position.
async fn put(context: &Context, source: &mut dyn ChangeSource, batch: IntakeBatch) -> Result<(), PumpError> {
    let records = batch.records;
    let position = batch.position;
    let work: Vec<Work> = batch.work.into_values().collect();
    for work in &work {
        context.saw(work.version, work.document_id);
    }
    let put = context.deps.queue.put(work, Some(position)).await;
    put.during("making changes durable").map_err(PumpError::Queue)?;
    source.confirm(position);
    context.durable.send_if_modified(|durable| {
        let advances = position > *durable;
        *durable = position.max(*durable);
        advances
    });
    context.counters.changes.add(records);
    context.counters.batches.add(usize::from(records > 0));
    Ok(())
}

/// The work of several events, one entry per document.
#[derive(Debug, Default)]
struct IntakeBatch {
    work: BTreeMap<i64, Work>,
    records: usize,
    position: Position,
    /// The history of the database in which the changes were made.
    history: u64,
}

impl IntakeBatch {
    fn add(&mut self, event: SourceEvent, now_ms: u64) {
        self.position = self.position.max(event.position());
        let SourceEvent::Changes(changes) = event else { return };
        self.records += changes.changes.len();
        for change in &changes.changes {
            let work = Work { history: self.history, ..Work::of(change, now_ms) };
            match self.work.get_mut(&work.document_id) {
                Some(known) => known.absorb(&work),
                None => drop(self.work.insert(work.document_id, work)),
            }
        }
    }

    /// Adds the events that the source has ready, without waiting. Returns the source's error, if any.
    fn gather(&mut self, source: &mut dyn ChangeSource, max: usize, context: &Context) -> Option<SourceError> {
        while self.records < max {
            match source.next().now_or_never()? {
                Ok(event) => self.add(event, context.now_ms()),
                Err(error) => return Some(error),
            }
        }
        None
    }
}
