//! Handlers of requests about quarantined documents, in the cache queue and in the lanes.

use super::{sinks::queues, unreadable};
use crate::{
    control::protocol::{
        EntriesReleased, EntriesSkipped, QuarantineEntry, QuarantineReport, SinkCopy, SinkView, Target,
    },
    failure::Failure,
    process::{sinks::EntryQueue, state::RunningProcess},
};
use millstream_pipeline::{
    queue::{Quarantined, WorkQueue},
    sink::{Content, DocumentKey},
};
use millstream_projector::delivery::deliverable;
use std::collections::HashSet;
use uuid::Uuid;

/// Maximum number of entries per page.
const PAGE: usize = 500;

/// Reads all quarantined entries of a queue.
async fn read_all(queue: &dyn WorkQueue) -> Result<Vec<Quarantined>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = queue.quarantined(after, PAGE).await.map_err(Failure::failed)?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.work.document_id);
        all.extend(page);
    }
}

fn entry(process: &RunningProcess, queue: &EntryQueue, quarantined: &Quarantined) -> QuarantineEntry {
    QuarantineEntry {
        place: queue.name.clone(),
        id: quarantined.work.document_uuid,
        resource: process.resource_name(quarantined.work.resource_key),
        version: quarantined.work.version,
        deleted: quarantined.work.deleted,
        reason: quarantined.reason.clone(),
        attempts: quarantined.work.attempts,
        first_failed_at_ms: quarantined.first_failed_at_ms,
        last_failed_at_ms: quarantined.last_failed_at_ms,
        view: None,
    }
}

pub(super) async fn list(process: &RunningProcess, place: Option<&Target>) -> Result<QuarantineReport, Failure> {
    let (mut quarantined, mut unreadable) = (Vec::new(), Vec::new());
    for queue in queues(process, place).await? {
        quarantined.extend(read_all(&*queue.queue).await?.iter().map(|found| entry(process, &queue, found)));
        unreadable.extend(unreadable::read(&queue).await?);
    }
    Ok(QuarantineReport { quarantined, unreadable: Some(unreadable) })
}

/// Returns one quarantined document: the error, the body to deliver, and the copy in the sink.
pub(super) async fn show(
    process: &RunningProcess,
    place: Option<&Target>,
    document: Uuid,
) -> Result<QuarantineReport, Failure> {
    let mut quarantined = Vec::new();
    for queue in queues(process, place).await? {
        for found in read_all(&*queue.queue).await? {
            if found.work.document_uuid == document {
                let view = view(process, &queue, &found).await?;
                quarantined.push(QuarantineEntry { view, ..entry(process, &queue, &found) });
            }
        }
    }
    if quarantined.is_empty() {
        return Err(Failure::usage(format!("{document} is not in quarantine: see `millstream quarantine list`")));
    }
    Ok(QuarantineReport { quarantined, unreadable: None })
}

/// Returns the delivery and the copy in the sink; `None` for the cache queue, and for a sink that cannot be opened.
async fn view(
    process: &RunningProcess,
    queue: &EntryQueue,
    quarantined: &Quarantined,
) -> Result<Option<SinkView>, Failure> {
    let Some(sink) = &queue.sink else { return Ok(None) };
    let text = |json: &[u8]| String::from_utf8_lossy(json).into_owned();
    let delivery = deliverable(&process.pools.background, &quarantined.work).await.map_err(Failure::failed)?;
    let sent = delivery.as_ref().and_then(|delivery| match &delivery.content {
        Content::Document(json) => Some(text(json)),
        Content::Deleted => None,
    });
    let key = DocumentKey { uuid: quarantined.work.document_uuid, resource_key: quarantined.work.resource_key };
    let held = match sink.fetch(&[key]).await {
        Ok(copies) => SinkCopy::Body(copies.first().cloned().flatten().map(|json| text(&json))),
        Err(error) => SinkCopy::Failed { error: Failure::failed(error).to_string() },
    };
    let bytes = delivery.as_ref().map(|delivery| delivery.bytes());
    Ok(Some(SinkView { sink: sink.describe(), bytes, sent, held }))
}

pub(super) async fn retry(
    process: &RunningProcess,
    place: Option<&Target>,
    documents: Option<&[Uuid]>,
) -> Result<EntriesReleased, Failure> {
    let mut released = 0;
    for queue in queues(process, place).await? {
        let ids = selected(&*queue.queue, documents).await?;
        released += queue.queue.release(ids).await.map_err(Failure::failed)?;
    }
    if released == 0 && documents.is_some() { Err(none_selected()) } else { Ok(EntriesReleased { released }) }
}

pub(super) async fn skip(
    process: &RunningProcess,
    place: Option<&Target>,
    documents: &[Uuid],
) -> Result<EntriesSkipped, Failure> {
    let mut skipped = 0;
    for queue in queues(process, place).await? {
        let ids = selected(&*queue.queue, Some(documents)).await?;
        skipped += queue.queue.discard(ids).await.map_err(Failure::failed)?;
    }
    if skipped == 0 { Err(none_selected()) } else { Ok(EntriesSkipped { skipped }) }
}

/// Returns the DocumentIds of the quarantined entries of these documents; `None` means all quarantined entries.
async fn selected(queue: &dyn WorkQueue, documents: Option<&[Uuid]>) -> Result<Vec<i64>, Failure> {
    let documents: Option<HashSet<Uuid>> = documents.map(|documents| documents.iter().copied().collect());
    let all = read_all(queue).await?;
    let is_selected =
        |entry: &&Quarantined| documents.as_ref().is_none_or(|ids| ids.contains(&entry.work.document_uuid));
    Ok(all.iter().filter(is_selected).map(|entry| entry.work.document_id).collect())
}

fn none_selected() -> Failure {
    Failure::usage("none of these documents is in quarantine: see `millstream quarantine list`")
}
