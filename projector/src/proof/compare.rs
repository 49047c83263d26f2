//! Comparing cache and sink side by side, in the order of the public ids.

use super::finding::{Finding, FindingKind, Findings};
use crate::error::{During, ProjectorError};
use millstream_pipeline::memory::MemoryBudget;
use millstream_store::compose::body_hash;
use millstream_store::connect::{Client, Database};
use millstream_store::error::StoreError;
use millstream_store::table::cache::{self, CachedPart};
use millstream_store::table::known_version;
use millstream_store::table::proof::{SinkCopy, SinkDocument};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

const ACTION: &str = "comparing a sink with the cache";

/// Documents per page of the cache.
const PAGE: i64 = 500;
/// Documents per page of the sink, which may hold many that are not in the cache.
const SINK_PAGE: i64 = 2 * PAGE;
/// Bytes of bodies per page of the cache. They are kept only until their digests are computed.
const PAGE_BYTES: usize = 8 << 20;
/// A page takes its bodies as they are read, and once more in their envelopes.
const COPIES: usize = 2;

/// A cached document, reduced to a digest.
struct CachedCopy {
    document_id: i64,
    resource_key: i16,
    version: i64,
    digest: Vec<u8>,
}

/// Compares all documents.
pub(super) async fn compare(
    database: &Database,
    memory: &MemoryBudget,
    sink: &SinkCopy,
) -> Result<Findings, ProjectorError> {
    let mut findings = Findings::default();
    let mut after = Uuid::nil();
    loop {
        let (mut cached, mut last) = cached_page(database, memory, after).await?;
        let held = sink.page(after, last.unwrap_or(Uuid::max()), SINK_PAGE).await.during(ACTION)?;
        if let Some(end) = held.last().filter(|_| held.len() as i64 == SINK_PAGE).map(|row| row.uuid) {
            // The sink's page ends first: cached documents behind it are read again with the next page.
            cached.retain(|uuid, _| *uuid <= end);
            last = Some(end);
        }
        findings.compared += cached.len() as u64;
        compare_page(database, cached, held, &mut findings).await?;
        match last {
            Some(last) => after = last,
            None => return Ok(findings),
        }
    }
}

/// Returns the next documents of the cache, and the last of them if there may be more.
async fn cached_page(
    database: &Database,
    memory: &MemoryBudget,
    after: Uuid,
) -> Result<(BTreeMap<Uuid, CachedCopy>, Option<Uuid>), ProjectorError> {
    let mut bytes_max = memory.portion(PAGE_BYTES);
    loop {
        let too_large =
            |over| StoreError::other(format!("the first document after {after} does not fit into memory: {over}"));
        let _reserved = memory.reserve(bytes_max.saturating_mul(COPIES)).await.map_err(too_large).during(ACTION)?;
        let client = database.get().await.during(ACTION)?;
        let CachedPart { documents, deferred } =
            cache::page_by_uuid(&client, after, PAGE, bytes_max).await.during(ACTION)?;
        if let (true, Some(first)) = (documents.is_empty(), deferred.first()) {
            bytes_max = first.bytes.max(bytes_max + 1);
            continue;
        }
        let is_last = deferred.is_empty() && (documents.len() as i64) < PAGE;
        let last = documents.last().filter(|_| !is_last).map(|document| document.uuid);
        let copies = documents.into_iter().map(|document| {
            let digest = body_hash(&document.json).to_vec();
            let (document_id, resource_key, version) = (document.document_id, document.resource_key, document.version);
            (document.uuid, CachedCopy { document_id, resource_key, version, digest })
        });
        return Ok((copies.collect(), last));
    }
}

async fn compare_page(
    database: &Database,
    mut cached: BTreeMap<Uuid, CachedCopy>,
    held: Vec<SinkDocument>,
    findings: &mut Findings,
) -> Result<(), ProjectorError> {
    let mut uncached = HashMap::new();
    for row in held {
        match cached.remove(&row.uuid) {
            Some(cached) => findings.extend(classify(row, &cached)),
            None if row.digest.is_some() => drop(uncached.insert(row.uuid, row)),
            None => {}
        }
    }
    for (uuid, cached) in cached {
        findings.add(finding(uuid, FindingKind::Missing, &cached, None));
    }
    if !uncached.is_empty() {
        let client = database.get().await.during(ACTION)?;
        classify_uncached(&client, uncached, findings).await?;
    }
    Ok(())
}

fn finding(uuid: Uuid, kind: FindingKind, cached: &CachedCopy, held: Option<i64>) -> Finding {
    let CachedCopy { document_id, resource_key, version, .. } = *cached;
    Finding {
        kind,
        uuid,
        document_id: Some(document_id),
        resource_key: Some(resource_key),
        version: Some(version),
        held,
    }
}

/// Classifies a document that is in the cache and in the sink.
fn classify(row: SinkDocument, cached: &CachedCopy) -> Option<Finding> {
    let kind = match (row.digest, row.version) {
        // The sink holds it as deleted.
        (None, _) => FindingKind::Missing,
        (Some(_), Some(held)) if held < cached.version => FindingKind::Stale,
        (Some(_), Some(held)) if held > cached.version => FindingKind::Newer,
        (Some(digest), _) if digest == cached.digest => return None,
        (Some(_), _) => FindingKind::Altered,
    };
    Some(finding(row.uuid, kind, cached, row.version))
}

/// Classifies documents that are in the sink and not in the cache.
async fn classify_uncached(
    client: &Client,
    mut held: HashMap<Uuid, SinkDocument>,
    findings: &mut Findings,
) -> Result<(), ProjectorError> {
    let uuids: Vec<Uuid> = held.keys().copied().collect();
    for known in known_version::by_uuid(client, &uuids).await.during(ACTION)? {
        match held.remove(&known.uuid) {
            Some(row) if known.deleted => findings.add(Finding {
                kind: FindingKind::Undeleted,
                uuid: known.uuid,
                document_id: Some(known.document_id),
                resource_key: Some(known.resource_key),
                version: Some(known.version),
                held: row.version,
            }),
            // The document exists and is not cached: its body is on its way.
            _ => findings.uncached += 1,
        }
    }
    for (uuid, row) in held {
        findings.add(Finding {
            kind: FindingKind::Extra,
            uuid,
            document_id: None,
            resource_key: row.resource_key,
            version: None,
            held: row.version,
        });
    }
    Ok(())
}
