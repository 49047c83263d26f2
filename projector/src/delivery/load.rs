//! From lane entries to deliveries: the cached bodies of their documents, and deletes of those that are gone.
//!
//! A lane holds no bodies. A delivery sends what the cache holds at that moment, so a hundred edits during an outage
//! cost one delivery. A document that exists and is not cached is on its way (the cache may be being rebuilt); it is
//! waited for. A document with neither a row nor a tombstone was deleted so long ago that its tombstone has been pruned
//! ([`crate::tombstones`]): it is deleted above every version ever assigned.

use crate::error::{During, ProjectorError};
use bytes::Bytes;
use millstream_pipeline::queue::Work;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey};
use millstream_store::connect::{Client, Database};
use millstream_store::table::cache::{self, CachedDocument};
use millstream_store::table::known_version::{self, KnownVersion};
use millstream_store::table::sequence;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

const ACTION: &str = "reading documents to deliver";

/// The content to deliver for one entry, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LoadedEntry {
    /// Its delivery.
    Delivery(Delivery),
    /// The document is neither cached nor deleted yet.
    Uncached,
    /// Its body has so many bytes, which did not fit.
    Deferred(usize),
}

/// Returns what there is to deliver for each entry, in their order, with bodies of at most `bytes_max` bytes. If no
/// body fits, the first by DocumentId tells how many bytes it needs.
pub(super) async fn load(
    database: &Database,
    entries: &[&Work],
    bytes_max: usize,
) -> Result<Vec<LoadedEntry>, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    let ids: Vec<i64> = entries.iter().filter(|work| !work.deleted).map(|work| work.document_id).collect();
    let mut found = HashMap::with_capacity(entries.len());
    let mut deferred = HashMap::new();
    if !ids.is_empty() {
        let cached = cache::load(&client, &ids, bytes_max).await.during(ACTION)?;
        found.extend(cached.documents.into_iter().map(|document| (document.document_id, body_delivery(document))));
        deferred.extend(cached.deferred.into_iter().map(|body| (body.document_id, body.bytes)));
    }
    // Read afterwards: a document that is deleted in between is found in one of the two.
    let is_missing = |work: &&&Work| {
        !found.contains_key(&work.document_id) && (work.deleted || !deferred.contains_key(&work.document_id))
    };
    let missing: Vec<Uuid> = entries.iter().filter(is_missing).map(|work| work.document_uuid).collect();
    let known = if missing.is_empty() { HashSet::new() } else { add_deletes(&client, &missing, &mut found).await? };
    let is_pruned = |work: &Work| {
        let is_found = found.contains_key(&work.document_id) || deferred.contains_key(&work.document_id);
        !work.deleted && !is_found && !known.contains(&work.document_uuid)
    };
    let newest = match entries.iter().any(|work| is_pruned(work)) {
        true => Some(sequence::newest_version(&client).await.during(ACTION)?),
        false => None,
    };
    let mut loaded = |work: &&Work| {
        if let Some(bytes) = deferred.get(&work.document_id).filter(|_| !work.deleted) {
            return LoadedEntry::Deferred(*bytes);
        }
        let newest = newest.filter(|_| !known.contains(&work.document_uuid));
        let Some(delivery) = found.remove(&work.document_id).or_else(|| pruned_delete(work, newest)) else {
            return LoadedEntry::Uncached;
        };
        // A sink may hold a newer version than was ever assigned, as after a restore: a proof enqueues deletes above
        // it.
        let version = if work.deleted { delivery.version.max(work.version) } else { delivery.version };
        LoadedEntry::Delivery(Delivery { repair: work.repair, version, ..delivery })
    };
    Ok(entries.iter().map(&mut loaded).collect())
}

/// Returns the delivery for one entry as of now; `None` while its document is neither cached nor deleted.
///
/// # Errors
/// When the database does not answer.
pub async fn deliverable(database: &Database, work: &Work) -> Result<Option<Delivery>, ProjectorError> {
    match load(database, &[work], usize::MAX).await?.pop() {
        Some(LoadedEntry::Delivery(delivery)) => Ok(Some(delivery)),
        _ => Ok(None),
    }
}

/// Adds deletes of the documents that have tombstones. Returns the public ids that have a row or a tombstone.
async fn add_deletes(
    client: &Client,
    uuids: &[Uuid],
    found: &mut HashMap<i64, Delivery>,
) -> Result<HashSet<Uuid>, ProjectorError> {
    let mut known = HashSet::new();
    for version in known_version::by_uuid(client, uuids).await.during(ACTION)? {
        known.insert(version.uuid);
        if version.deleted {
            found.insert(version.document_id, delete(&version));
        }
    }
    Ok(known)
}

/// The delete of a document whose tombstone has been pruned. The entry of a delete carries its version; for another
/// entry only the newest version ever assigned is known to be high enough.
fn pruned_delete(work: &Work, newest: Option<i64>) -> Option<Delivery> {
    let key = DocumentKey { uuid: work.document_uuid, resource_key: work.resource_key };
    let version = if work.deleted { work.version } else { newest?.max(work.version) };
    Some(Delivery { key, version, content: Content::Deleted, repair: false })
}

fn body_delivery(document: CachedDocument) -> Delivery {
    let key = DocumentKey { uuid: document.uuid, resource_key: document.resource_key };
    Delivery { key, version: document.version, content: Content::Document(Bytes::from(document.json)), repair: false }
}

fn delete(tombstone: &KnownVersion) -> Delivery {
    let key = DocumentKey { uuid: tombstone.uuid, resource_key: tombstone.resource_key };
    Delivery { key, version: tombstone.version, content: Content::Deleted, repair: false }
}
