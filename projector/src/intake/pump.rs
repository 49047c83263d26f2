//! From the source into the queue: gather what is there, make it durable, then let the server forget it.

use super::lease::LeaderLease;
use crate::context::Context;
use crate::error::ProjectorError;
use futures::FutureExt;
use millstream_pipeline::Position;
use millstream_pipeline::queue::Work;
use millstream_pipeline::source::{ChangeSource, SourceError, SourceEvent};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// Why the pump stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Pumped {
    /// The source cannot go on by itself.
    #[error("the source of changes stopped")]
    Source(#[source] SourceError),
    /// The queue failed; nothing more can be made durable.
    #[error(transparent)]
    Queue(ProjectorError),
    /// It is not, or no longer known to be, the turn of this process.
    #[error(transparent)]
    LeaderLease(ProjectorError),
}

/// Pumps until it is told to stop.
///
/// A batch is what the source had ready, up to `intake_batch_max` records: while one batch is being made durable the
/// next one gathers, so a single change waits for nothing and a flood comes in large batches. Memory is bounded by one
/// batch and what the source buffers.
///
/// The order is the whole of NO-LOSS: a position is confirmed only after `put` has returned for all work up to it.
pub(crate) async fn pump(
    context: &Context,
    source: &mut dyn ChangeSource,
    turn: &LeaderLease,
    stop: &CancellationToken,
) -> Result<(), Pumped> {
    let max = context.options().intake_batch_max.max(1);
    loop {
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            // Cancellation safe: an event that is not handed out here comes next time.
            event = source.next() => Some(event),
            () = context.deps.clock.sleep(context.options().gauge_interval) => None,
        };
        turn.check(context.now_ms()).await.map_err(Pumped::LeaderLease)?;
        if let Some(first) = first {
            let mut batch = Batch::default();
            batch.add(first.map_err(Pumped::Source)?, context.now_ms());
            let failed = batch.gather(source, max, context);
            // What was received before a failure is as good as any.
            put(context, source, batch).await?;
            if let Some(error) = failed {
                return Err(Pumped::Source(error));
            }
        }
        context.set_source_status(source.status());
    }
}

async fn put(context: &Context, source: &mut dyn ChangeSource, batch: Batch) -> Result<(), Pumped> {
    const ACTION: &str = "making changes durable";
    let records = batch.records;
    let position = batch.position;
    let work: Vec<Work> = batch.work.into_values().collect();
    context.deps.queue.put(work, Some(position)).await.map_err(ProjectorError::queue(ACTION)).map_err(Pumped::Queue)?;
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

/// Work of several events, one entry a document.
#[derive(Debug, Default)]
struct Batch {
    work: BTreeMap<i64, Work>,
    records: usize,
    position: Position,
}

impl Batch {
    fn add(&mut self, event: SourceEvent, now_ms: u64) {
        self.position = self.position.max(event.position());
        let SourceEvent::Changes(changes) = event else { return };
        self.records += changes.changes.len();
        for change in &changes.changes {
            let work = Work::of(change, now_ms);
            match self.work.get_mut(&work.document_id) {
                Some(known) => known.absorb(&work),
                None => drop(self.work.insert(work.document_id, work)),
            }
        }
    }

    /// Adds what the source has ready, without waiting for more.
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
