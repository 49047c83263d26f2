//! From lane entries to deliveries: what the cache holds of these documents now, and the tombstones of those that are gone.
//!
//! A lane holds no bodies. What is delivered is what the cache holds when the delivery is made, so that a hundred edits
//! during an outage cost one delivery. A document that is there and not cached is on its way (the cache is being rebuilt,
//! perhaps); it is waited for. One that is not there and has no tombstone was deleted so long ago that its tombstone is
//! gone ([`crate::tombstones`]): it is deleted, above every version that was ever given.

use crate::error::ProjectorError;
use bytes::Bytes;
use jiff::Timestamp;
use millstream_pipeline::queue::Work;
use millstream_pipeline::sink::{Content, Delivery, DocumentKey};
use millstream_store::compose::envelope;
use millstream_store::connect::{Client, Database};
use std::collections::HashMap;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

const ACTION: &str = "reading what is to be delivered";

const CACHED_SQL: &str = r#"
SELECT c."DocumentId", c."DocumentUuid", c."ResourceKeyId", c."ContentVersion", c."LastModifiedAt", c."Body"
FROM "dms"."DocumentCache" c WHERE c."DocumentId" = ANY((SELECT $1::int8[])::int8[])"#;

const TOMBSTONES_SQL: &str = r#"
SELECT t."DocumentId", t."DocumentUuid", t."ResourceKeyId", t."ContentVersion"
FROM "dms"."Tombstone" t WHERE t."DocumentUuid" = ANY((SELECT $1::uuid[])::uuid[])"#;

/// Those of the documents that are gone with their tombstones, and the newest version that any document was given. One
/// statement: a document that is deleted meanwhile is found as one or the other.
const FORGOTTEN_SQL: &str = r#"
SELECT u."Uuid", (SELECT last_value FROM "dms"."ChangeVersionSequence")
FROM unnest($1::uuid[]) AS u ("Uuid")
WHERE NOT EXISTS (SELECT FROM "dms"."Document" d WHERE d."DocumentUuid" = u."Uuid")
  AND NOT EXISTS (SELECT FROM "dms"."Tombstone" t WHERE t."DocumentUuid" = u."Uuid")"#;

/// What is to be delivered of each entry, in their order; `None` for what is neither cached nor deleted yet.
pub(super) async fn load(database: &Database, entries: &[&Work]) -> Result<Vec<Option<Delivery>>, ProjectorError> {
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let ids: Vec<i64> = entries.iter().filter(|work| !work.deleted).map(|work| work.document_id).collect();
    let mut found = HashMap::with_capacity(entries.len());
    if !ids.is_empty() {
        collect(&client, CACHED_SQL, &ids, cached, &mut found).await?;
    }
    // Afterwards: who is deleted in between is found in one of the two.
    let missing = entries.iter().filter(|work| !found.contains_key(&work.document_id));
    let uuids: Vec<Uuid> = missing.map(|work| work.document_uuid).collect();
    if !uuids.is_empty() {
        collect(&client, TOMBSTONES_SQL, &uuids, tombstone, &mut found).await?;
    }
    let unknown = |work: &&&Work| !work.deleted && !found.contains_key(&work.document_id);
    let unknown: Vec<Uuid> = entries.iter().filter(unknown).map(|work| work.document_uuid).collect();
    let forgotten = if unknown.is_empty() { HashMap::new() } else { forgotten(&client, &unknown).await? };
    let mut owed = |work: &&Work| {
        let newest = || forgotten.get(&work.document_uuid).copied();
        let delivery = found.remove(&work.document_id).or_else(|| pruned(work, newest()))?;
        // A copy may hold a newer version than was ever given, as after a restore: whoever had that found out deletes above.
        let version = if work.deleted { delivery.version.max(work.version) } else { delivery.version };
        Some(Delivery { repair: work.repair, version, ..delivery })
    };
    Ok(entries.iter().map(&mut owed).collect())
}

/// What would be delivered of a document now; `None` while it is neither cached nor deleted.
///
/// # Errors
/// When the database does not answer.
pub async fn deliverable(database: &Database, work: &Work) -> Result<Option<Delivery>, ProjectorError> {
    Ok(load(database, &[work]).await?.pop().flatten())
}

/// A delete whose tombstone is gone already: an entry that is one knows enough, of another only that it is `newest` at most.
fn pruned(work: &Work, newest: Option<i64>) -> Option<Delivery> {
    let key = DocumentKey { uuid: work.document_uuid, resource_key: work.resource_key };
    let version = if work.deleted { work.version } else { newest?.max(work.version) };
    Some(Delivery { key, version, content: Content::Deleted, repair: false })
}

async fn forgotten(client: &Client, documents: &Vec<Uuid>) -> Result<HashMap<Uuid, i64>, ProjectorError> {
    let statement = client.prepare_cached(FORGOTTEN_SQL).await.map_err(ProjectorError::database(ACTION))?;
    let rows = client.query(&statement, &[documents]).await.map_err(ProjectorError::database(ACTION))?;
    let read = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, Error>>();
    read.map_err(ProjectorError::database(ACTION))
}

async fn collect<T: ToSql + Sync>(
    client: &Client,
    sql: &str,
    keys: &Vec<T>,
    read: fn(&Row) -> Result<(i64, Delivery), Error>,
    found: &mut HashMap<i64, Delivery>,
) -> Result<(), ProjectorError> {
    let statement = client.prepare_cached(sql).await.map_err(ProjectorError::database(ACTION))?;
    for row in client.query(&statement, &[keys]).await.map_err(ProjectorError::database(ACTION))? {
        let (document_id, delivery) = read(&row).map_err(ProjectorError::database(ACTION))?;
        found.insert(document_id, delivery);
    }
    Ok(())
}

fn cached(row: &Row) -> Result<(i64, Delivery), Error> {
    let (uuid, version, at): (Uuid, i64, Timestamp) = (row.try_get(1)?, row.try_get(3)?, row.try_get(4)?);
    let json = envelope(row.try_get::<_, &str>(5)?.as_bytes(), uuid, version, at);
    let key = DocumentKey { uuid, resource_key: row.try_get(2)? };
    let content = Content::Document(Bytes::from(json));
    Ok((row.try_get(0)?, Delivery { key, version, content, repair: false }))
}

fn tombstone(row: &Row) -> Result<(i64, Delivery), Error> {
    let key = DocumentKey { uuid: row.try_get(1)?, resource_key: row.try_get(2)? };
    Ok((row.try_get(0)?, Delivery { key, version: row.try_get(3)?, content: Content::Deleted, repair: false }))
}
