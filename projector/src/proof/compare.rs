//! Cache and sink side by side, in the order of the public ids.

use super::collect::{Held, HeldRow};
use super::finding::{Finding, FindingKind, Findings};
use crate::error::ProjectorError;
use jiff::Timestamp;
use millstream_store::compose::{body_hash, envelope};
use millstream_store::connect::{Client, Database};
use std::collections::{BTreeMap, HashMap};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

const ACTION: &str = "comparing a sink with the cache";

/// Documents of a page of the cache.
const PAGE: i64 = 500;
/// Documents of a page of the sink, which may hold many that the cache does not.
const HELD_PAGE: i64 = 2 * PAGE;

const CACHED_SQL: &str = r#"
SELECT c."DocumentUuid", c."DocumentId", c."ResourceKeyId", c."ContentVersion", c."LastModifiedAt", c."Body"
FROM "dms"."DocumentCache" c WHERE c."DocumentUuid" > $1::uuid ORDER BY c."DocumentUuid" LIMIT $2::int8"#;

/// What is known of documents that the cache does not hold: deleted, or there and not cached.
const UNCACHED_SQL: &str = r#"
SELECT t."DocumentUuid", t."DocumentId", t."ResourceKeyId", t."ContentVersion", true
FROM "dms"."Tombstone" t WHERE t."DocumentUuid" = ANY((SELECT $1::uuid[])::uuid[])
UNION ALL
SELECT d."DocumentUuid", d."DocumentId", d."ResourceKeyId", d."ContentVersion", false
FROM "dms"."Document" d WHERE d."DocumentUuid" = ANY((SELECT $1::uuid[])::uuid[])"#;

/// A cached document.
struct Cached {
    document_id: i64,
    resource_key: i16,
    version: i64,
    digest: Vec<u8>,
}

/// Compares everything.
pub(super) async fn compare(database: &Database, held: &Held) -> Result<Findings, ProjectorError> {
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let mut findings = Findings::default();
    let mut after = Uuid::nil();
    loop {
        let (mut cached, mut last) = cached_page(&client, after).await?;
        let held = held.page(after, last.unwrap_or(Uuid::max()), HELD_PAGE).await?;
        if let Some(end) = held.last().filter(|_| held.len() as i64 == HELD_PAGE).map(|row| row.uuid) {
            // The sink's page ends first: what the cache has behind it is read again with the next.
            cached.retain(|uuid, _| *uuid <= end);
            last = Some(end);
        }
        findings.compared += cached.len() as u64;
        page(&client, cached, held, &mut findings).await?;
        match last {
            Some(last) => after = last,
            None => return Ok(findings),
        }
    }
}

/// The next documents of the cache, and the last of them if there may be more.
async fn cached_page(client: &Client, after: Uuid) -> Result<(BTreeMap<Uuid, Cached>, Option<Uuid>), ProjectorError> {
    let statement = client.prepare_cached(CACHED_SQL).await.map_err(ProjectorError::database(ACTION))?;
    let rows = client.query(&statement, &[&after, &PAGE]).await.map_err(ProjectorError::database(ACTION))?;
    let read = rows.iter().map(cached).collect::<Result<BTreeMap<_, _>, Error>>();
    let read = read.map_err(ProjectorError::database(ACTION))?;
    let last = if read.len() as i64 == PAGE { read.last_key_value().map(|(uuid, _)| *uuid) } else { None };
    Ok((read, last))
}

fn cached(row: &Row) -> Result<(Uuid, Cached), Error> {
    let (uuid, version, at): (Uuid, i64, Timestamp) = (row.try_get(0)?, row.try_get(3)?, row.try_get(4)?);
    let json = envelope(row.try_get::<_, &str>(5)?.as_bytes(), uuid, version, at);
    let (document_id, resource_key) = (row.try_get(1)?, row.try_get(2)?);
    Ok((uuid, Cached { document_id, resource_key, version, digest: body_hash(&json).to_vec() }))
}

async fn page(
    client: &Client,
    mut cached: BTreeMap<Uuid, Cached>,
    held: Vec<HeldRow>,
    findings: &mut Findings,
) -> Result<(), ProjectorError> {
    let mut uncached = HashMap::new();
    for row in held {
        match cached.remove(&row.uuid) {
            Some(cached) => findings.extend(judge(row, &cached)),
            None if row.digest.is_some() => drop(uncached.insert(row.uuid, row)),
            None => {}
        }
    }
    for (uuid, cached) in cached {
        findings.add(finding(uuid, FindingKind::Missing, &cached, None));
    }
    if !uncached.is_empty() {
        judge_uncached(client, uncached, findings).await?;
    }
    Ok(())
}

fn finding(uuid: Uuid, kind: FindingKind, cached: &Cached, held: Option<i64>) -> Finding {
    let Cached { document_id, resource_key, version, .. } = *cached;
    Finding {
        kind,
        uuid,
        document_id: Some(document_id),
        resource_key: Some(resource_key),
        version: Some(version),
        held,
    }
}

/// A document that both have.
fn judge(row: HeldRow, cached: &Cached) -> Option<Finding> {
    let kind = match (row.digest, row.version) {
        // It knows the document as deleted.
        (None, _) => FindingKind::Missing,
        (Some(_), Some(held)) if held < cached.version => FindingKind::Stale,
        (Some(_), Some(held)) if held > cached.version => FindingKind::Newer,
        (Some(digest), _) if digest == cached.digest => return None,
        (Some(_), _) => FindingKind::Altered,
    };
    Some(finding(row.uuid, kind, cached, row.version))
}

/// Documents that the sink has and the cache has not.
async fn judge_uncached(
    client: &Client,
    mut held: HashMap<Uuid, HeldRow>,
    findings: &mut Findings,
) -> Result<(), ProjectorError> {
    let uuids: Vec<Uuid> = held.keys().copied().collect();
    let statement = client.prepare_cached(UNCACHED_SQL).await.map_err(ProjectorError::database(ACTION))?;
    for row in client.query(&statement, &[&uuids]).await.map_err(ProjectorError::database(ACTION))? {
        let (finding, deleted) = known(&row, &mut held).map_err(ProjectorError::database(ACTION))?;
        if let Some(finding) = finding.filter(|_| deleted) {
            findings.add(finding);
        } else {
            // It is there and not cached: its body is on its way.
            findings.uncached += 1;
        }
    }
    for (uuid, row) in held {
        let held = row.version;
        findings.add(Finding {
            kind: FindingKind::Extra,
            uuid,
            document_id: None,
            resource_key: row.resource_key,
            version: None,
            held,
        });
    }
    Ok(())
}

/// Takes a document out of `held` that the database knows; whether it was deleted.
fn known(row: &Row, held: &mut HashMap<Uuid, HeldRow>) -> Result<(Option<Finding>, bool), Error> {
    let uuid: Uuid = row.try_get(0)?;
    let Some(found) = held.remove(&uuid) else { return Ok((None, row.try_get(4)?)) };
    let finding = Finding {
        kind: FindingKind::Undeleted,
        uuid,
        document_id: Some(row.try_get(1)?),
        resource_key: Some(row.try_get(2)?),
        version: Some(row.try_get(3)?),
        held: found.version,
    };
    Ok((Some(finding), row.try_get(4)?))
}
