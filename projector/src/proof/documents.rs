//! Comparing single documents of a sink with the cache, by id.

use super::collect::ProofError;
use super::finding::{Finding, FindingKind, Findings, SinkReport};
use crate::error::{During, ProjectorError};
use bytes::Bytes;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::sink::{DocumentKey, Sink};
use millstream_store::connect::Database;
use millstream_store::error::StoreError;
use millstream_store::table::cache::{self, CachedDocument, CachedPart, DeferredBody};
use millstream_store::table::known_version::{self, KnownVersion};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;
use uuid::Uuid;

const ACTION: &str = "comparing documents of a sink with the cache";

/// Documents per read.
const TOGETHER: usize = 100;
/// Bytes of cached bodies per read.
const READ_BYTES: usize = 8 << 20;
/// A read takes the bodies as they are read, once more in their envelopes, and the copies of the sink.
const COPIES: usize = 3;
/// Pause before the second comparison.
const SECOND_AFTER: Duration = Duration::from_secs(1);

/// Does the same as [`super::prove`] for these documents, which it reads by id: a document that the database does not know
/// cannot be found so.
///
/// # Errors
/// When the sink or the database cannot be read. Differences are not an error.
pub async fn prove_documents(
    database: &Database,
    memory: &MemoryBudget,
    sink: &dyn Sink,
    clock: &dyn Clock,
    documents: &[Uuid],
) -> Result<SinkReport, ProofError> {
    let first = compare_documents(database, memory, sink, documents).await?;
    if first.is_empty() {
        return Ok(SinkReport::of(sink.describe(), &first, None));
    }
    clock.sleep(SECOND_AFTER).await;
    let second = compare_documents(database, memory, sink, documents).await?;
    Ok(SinkReport::of(sink.describe(), &first, Some(&second)))
}

/// Compares once.
pub(crate) async fn compare_documents(
    database: &Database,
    memory: &MemoryBudget,
    sink: &dyn Sink,
    documents: &[Uuid],
) -> Result<Findings, ProofError> {
    let mut findings = Findings::default();
    let mut waiting: VecDeque<Uuid> = documents.iter().copied().collect();
    let mut bytes_max = memory.portion(READ_BYTES);
    while !waiting.is_empty() {
        let too_large = |over| StoreError::other(format!("a document does not fit into memory: {over}"));
        let _reserved = memory.reserve(bytes_max.saturating_mul(COPIES)).await.map_err(too_large).during(ACTION)?;
        let chunk: Vec<Uuid> = waiting.drain(..waiting.len().min(TOGETHER)).collect();
        let Copies { known, cached, deferred } = read(database, &chunk, bytes_max).await?;
        bytes_max = match deferred.first() {
            Some(first) if cached.is_empty() => first.bytes.max(bytes_max + 1),
            _ => memory.portion(READ_BYTES),
        };
        waiting.extend(deferred.iter().map(|deferred| deferred.uuid));
        let keys: Vec<DocumentKey> =
            known.iter().map(|known| DocumentKey { uuid: known.uuid, resource_key: known.resource_key }).collect();
        let held = sink.fetch(&keys).await.map_err(ProofError::from)?;
        for (known, held) in known.into_iter().zip(held) {
            match cached.get(&known.uuid) {
                Some(cached) => {
                    findings.compared += 1;
                    findings.extend(classify(cached, held));
                }
                None if held.is_none() => {}
                None if known.deleted => findings.add(finding(&known, FindingKind::Undeleted, held.as_ref())),
                // The document exists and is not cached: its body is on its way.
                None => findings.uncached += 1,
            }
        }
    }
    Ok(findings)
}

/// Documents as the database has them.
struct Copies {
    /// Documents and tombstones, without the deferred documents.
    known: Vec<KnownVersion>,
    cached: HashMap<Uuid, CachedDocument>,
    /// Documents whose cached bodies did not fit.
    deferred: Vec<DeferredBody>,
}

/// Reads the documents and tombstones, then the cached bodies.
async fn read(database: &Database, documents: &[Uuid], bytes_max: usize) -> Result<Copies, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    let mut known = known_version::by_uuid(&client, documents).await.during(ACTION)?;
    // A living document that has a tombstone by mistake comes twice.
    known.sort_by_key(|known| (known.uuid, known.deleted));
    known.dedup_by_key(|known| known.uuid);
    let living: Vec<i64> = known.iter().filter(|known| !known.deleted).map(|known| known.document_id).collect();
    let CachedPart { documents, deferred } = cache::load(&client, &living, bytes_max).await.during(ACTION)?;
    let unread: HashSet<Uuid> = deferred.iter().map(|deferred| deferred.uuid).collect();
    known.retain(|known| !unread.contains(&known.uuid));
    let cached = documents.into_iter().map(|cached| (cached.uuid, cached)).collect();
    Ok(Copies { known, cached, deferred })
}

fn finding(known: &KnownVersion, kind: FindingKind, held: Option<&Bytes>) -> Finding {
    Finding {
        kind,
        uuid: known.uuid,
        document_id: Some(known.document_id),
        resource_key: Some(known.resource_key),
        version: Some(known.version),
        held: held.and_then(version_of),
    }
}

fn classify(cached: &CachedDocument, held: Option<Bytes>) -> Option<Finding> {
    // Most copies are equal: only the others are parsed.
    if held.as_ref().is_some_and(|held| **held == *cached.json) {
        return None;
    }
    let version = held.as_ref().and_then(version_of);
    let kind = match (&held, version) {
        (None, _) => FindingKind::Missing,
        (Some(_), Some(version)) if version < cached.version => FindingKind::Stale,
        (Some(_), Some(version)) if version > cached.version => FindingKind::Newer,
        (Some(_), _) => FindingKind::Altered,
    };
    Some(Finding {
        kind,
        uuid: cached.uuid,
        document_id: Some(cached.document_id),
        resource_key: Some(cached.resource_key),
        version: Some(cached.version),
        held: version,
    })
}

/// The version in the envelope of a copy; `None` if the copy is not a document.
fn version_of(held: &Bytes) -> Option<i64> {
    let value: serde_json::Value = serde_json::from_slice(held).ok()?;
    value.get("_etag")?.as_str()?.parse().ok()
}
