//! What is in quarantine, before the cache and in the lanes, and what becomes of it.

use super::{Spot, spots, unreadable};
use crate::{control::Place, failure::Failure, up::board::About};
use millstream_pipeline::queue::{Quarantined, WorkQueue};
use millstream_pipeline::sink::{Content, DocumentKey};
use millstream_projector::delivery::deliverable;
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

/// Entries read at a time.
const PAGE: usize = 500;

/// All entries of a queue that are in quarantine.
async fn quarantined(queue: &dyn WorkQueue) -> Result<Vec<Quarantined>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = queue.quarantined(after, PAGE).await.map_err(Failure::failed)?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.work.document_id);
        all.extend(page);
    }
}

fn row(about: &About, spot: &Spot, entry: &Quarantined) -> Value {
    let resource = about.mapping.resources.iter().find(|resource| resource.key == entry.work.resource_key);
    json!({
        "place": spot.name,
        "id": entry.work.document_uuid,
        "resource": resource.map(|resource| format!("{}/{}", resource.project_endpoint, resource.endpoint)),
        "version": entry.work.version,
        "deleted": entry.work.deleted,
        "reason": entry.reason,
        "attempts": entry.work.attempts,
        "first_failed_at_ms": entry.first_failed_at_ms,
        "last_failed_at_ms": entry.last_failed_at_ms,
    })
}

pub(super) async fn list(about: &About, place: Option<&Place>) -> Result<Value, Failure> {
    let (mut rows, mut unread) = (Vec::new(), Vec::new());
    for spot in spots(about, place).await? {
        rows.extend(quarantined(&*spot.queue).await?.iter().map(|entry| row(about, &spot, entry)));
        unread.extend(unreadable::rows(&spot).await?);
    }
    Ok(json!({"quarantined": rows, "unreadable": unread}))
}

/// Everything about one document in quarantine: why, what would be sent now, and what the sink has of it.
pub(super) async fn show(about: &About, place: Option<&Place>, document: Uuid) -> Result<Value, Failure> {
    let mut found = Vec::new();
    for spot in spots(about, place).await? {
        for entry in quarantined(&*spot.queue).await? {
            if entry.work.document_uuid == document {
                found.push(detail(about, &spot, &entry).await?);
            }
        }
    }
    if found.is_empty() {
        return Err(Failure::usage(format!("{document} is not in quarantine: see `millstream quarantine list`")));
    }
    Ok(json!({"quarantined": found}))
}

async fn detail(about: &About, spot: &Spot, entry: &Quarantined) -> Result<Value, Failure> {
    let mut detail = row(about, spot, entry);
    let Some(sink) = &spot.sink else { return Ok(detail) };
    let sent = deliverable(&about.database, &entry.work).await.map_err(Failure::failed)?;
    let body = sent.as_ref().and_then(|delivery| match &delivery.content {
        Content::Document(json) => Some(String::from_utf8_lossy(json).into_owned()),
        Content::Deleted => None,
    });
    let key = DocumentKey { uuid: entry.work.document_uuid, resource_key: entry.work.resource_key };
    let held = match sink.fetch(&[key]).await {
        Ok(held) => json!(held.first().cloned().flatten().map(|json| String::from_utf8_lossy(&json).into_owned())),
        Err(error) => json!({"error": Failure::failed(error).to_string()}),
    };
    if let Some(detail) = detail.as_object_mut() {
        detail.insert("sink".to_owned(), json!(sink.describe()));
        detail.insert("bytes".to_owned(), json!(sent.as_ref().map(|delivery| delivery.bytes())));
        detail.insert("sent".to_owned(), json!(body));
        detail.insert("held".to_owned(), held);
    }
    Ok(detail)
}

pub(super) async fn retry(about: &About, place: Option<&Place>, documents: Option<&[Uuid]>) -> Result<Value, Failure> {
    let mut released = 0;
    for spot in spots(about, place).await? {
        let ids = meant(&*spot.queue, documents).await?;
        released += spot.queue.release(ids).await.map_err(Failure::failed)?;
    }
    told("released", released, documents)
}

pub(super) async fn skip(about: &About, place: Option<&Place>, documents: &[Uuid]) -> Result<Value, Failure> {
    let mut skipped = 0;
    for spot in spots(about, place).await? {
        let ids = meant(&*spot.queue, Some(documents)).await?;
        skipped += spot.queue.discard(ids).await.map_err(Failure::failed)?;
    }
    told("skipped", skipped, Some(documents))
}

/// The entries in quarantine that are meant.
async fn meant(queue: &dyn WorkQueue, documents: Option<&[Uuid]>) -> Result<Vec<i64>, Failure> {
    let wanted: Option<HashSet<Uuid>> = documents.map(|documents| documents.iter().copied().collect());
    let all = quarantined(queue).await?;
    let of = |entry: &Quarantined| wanted.as_ref().is_none_or(|wanted| wanted.contains(&entry.work.document_uuid));
    Ok(all.iter().filter(|entry| of(entry)).map(|entry| entry.work.document_id).collect())
}

fn told(what: &str, count: u64, documents: Option<&[Uuid]>) -> Result<Value, Failure> {
    if count == 0 && documents.is_some() {
        return Err(Failure::usage("none of these documents is in quarantine: see `millstream quarantine list`"));
    }
    Ok(json!({what: count}))
}
