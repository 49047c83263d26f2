//! Comparing cache and sink side by side, in the order of the public ids.

use super::finding::{Finding, FindingKind, Findings};
use crate::error::{During, ProjectorError};
use millstream_store::compose::body_hash;
use millstream_store::connect::{Client, Database};
use millstream_store::table::cache;
use millstream_store::table::known_version;
use millstream_store::table::proof::{SinkCopy, SinkDocument};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

const ACTION: &str = "comparing a sink with the cache";

/// Documents per page of the cache.
const PAGE: i64 = 500;
/// Documents per page of the sink, which may hold many that are not in the cache.
const SINK_PAGE: i64 = 2 * PAGE;

/// A cached document, reduced to a digest.
struct CachedCopy {
    document_id: i64,
    resource_key: i16,
    version: i64,
    digest: Vec<u8>,
}

/// Compares all documents.
pub(super) async fn compare(database: &Database, sink: &SinkCopy) -> Result<Findings, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    let mut findings = Findings::default();
    let mut after = Uuid::nil();
    loop {
        let (mut cached, mut last) = cached_page(&client, after).await?;
        let held = sink.page(after, last.unwrap_or(Uuid::max()), SINK_PAGE).await.during(ACTION)?;
        if let Some(end) = held.last().filter(|_| held.len() as i64 == SINK_PAGE).map(|row| row.uuid) {
            // The sink's page ends first: cached documents behind it are read again with the next page.
            cached.retain(|uuid, _| *uuid <= end);
            last = Some(end);
        }
        findings.compared += cached.len() as u64;
        compare_page(&client, cached, held, &mut findings).await?;
        match last {
            Some(last) => after = last,
            None => return Ok(findings),
        }
    }
}

/// Returns the next documents of the cache, and the last of them if there may be more.
async fn cached_page(
    client: &Client,
    after: Uuid,
) -> Result<(BTreeMap<Uuid, CachedCopy>, Option<Uuid>), ProjectorError> {
    let documents = cache::page_by_uuid(client, after, PAGE).await.during(ACTION)?;
    let last = if documents.len() as i64 == PAGE { documents.last().map(|document| document.uuid) } else { None };
    let copies = documents.into_iter().map(|document| {
        let digest = body_hash(&document.json).to_vec();
        let (document_id, resource_key, version) = (document.document_id, document.resource_key, document.version);
        (document.uuid, CachedCopy { document_id, resource_key, version, digest })
    });
    Ok((copies.collect(), last))
}

async fn compare_page(
    client: &Client,
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
        classify_uncached(client, uncached, findings).await?;
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
