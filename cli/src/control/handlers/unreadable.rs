//! Handlers of requests about records of the queue that could not be parsed. The documents that they concern are not
//! known, so a record cannot be retried; `verify --repair` finds the documents that are missing because of it.

use super::sinks::queues;
use crate::{
    control::protocol::{EntriesSkipped, QuarantineReport, Target, UnreadableRecord},
    failure::Failure,
    process::{sinks::EntryQueue, state::RunningProcess},
};
use millstream_pipeline::queue::Unreadable;

fn record(queue: &EntryQueue, unreadable: &Unreadable) -> UnreadableRecord {
    UnreadableRecord {
        place: queue.name.clone(),
        record: unreadable.place.clone(),
        reason: unreadable.reason.clone(),
        bytes: unreadable.value.len(),
        content: None,
    }
}

/// Reads all unreadable records of a queue, without their content.
pub(super) async fn read(queue: &EntryQueue) -> Result<Vec<UnreadableRecord>, Failure> {
    let all = queue.queue.unreadable().await.map_err(Failure::failed)?;
    Ok(all.iter().map(|unreadable| record(queue, unreadable)).collect())
}

/// Shows one record with its content.
pub(super) async fn show(
    process: &RunningProcess,
    place: Option<&Target>,
    name: &str,
) -> Result<QuarantineReport, Failure> {
    for queue in queues(process, place).await? {
        let all = queue.queue.unreadable().await.map_err(Failure::failed)?;
        if let Some(found) = all.iter().find(|found| found.place == name) {
            let content = Some(found.value.escape_ascii().to_string());
            let shown = UnreadableRecord { content, ..record(&queue, found) };
            return Ok(QuarantineReport { quarantined: Vec::new(), unreadable: Some(vec![shown]) });
        }
    }
    Err(unknown())
}

/// Discards records for good.
pub(super) async fn skip(
    process: &RunningProcess,
    place: Option<&Target>,
    records: Vec<String>,
) -> Result<EntriesSkipped, Failure> {
    let mut skipped = 0;
    for queue in queues(process, place).await? {
        skipped += queue.queue.discard_unreadable(records.clone()).await.map_err(Failure::failed)?;
    }
    if skipped == 0 { Err(unknown()) } else { Ok(EntriesSkipped { skipped }) }
}

fn unknown() -> Failure {
    Failure::usage("no such record is kept: see `millstream quarantine list`")
}
