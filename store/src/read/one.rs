//! One document by its public id.

use super::answer::{AnswerPart, COPIES, composed, from_cache, is_current};
use super::document::{ReadDocument, ReadError};
use crate::connect::Database;
use crate::load::Caches;
use crate::table::document_body::by_uuid;
use millstream_pipeline::memory::MemoryBudget;
use millstream_schema::plan::{Mapping, ResourceIx};
use std::sync::Arc;
use uuid::Uuid;

/// Bytes of the documents that are read without asking for their size first.
const DOCUMENT_BYTES: usize = 2 << 20;

/// Reads a document. Returns `None` if there is none with this id, or if it is of another type.
pub async fn get(
    database: &Database,
    mapping: &Mapping,
    caches: &Caches,
    memory: &MemoryBudget,
    resource: ResourceIx,
    uuid: Uuid,
) -> Result<Option<ReadDocument>, ReadError> {
    let mut bytes_max = memory.portion(DOCUMENT_BYTES);
    loop {
        let mut reserved = memory.reserve(bytes_max.saturating_mul(COPIES)).await?;
        let AnswerPart { documents, deferred } = read(database, mapping, caches, resource, uuid, bytes_max).await?;
        let Some(mut document) = documents.into_iter().next() else {
            match deferred {
                // It grew since its size was read, or it is read for the first time.
                Some(bytes) => bytes_max = bytes.max(bytes_max + 1),
                None => return Ok(None),
            }
            continue;
        };
        reserved.shrink_to(document.body.len());
        document.memory = Some(Arc::new(reserved));
        return Ok(Some(document));
    }
}

async fn read(
    database: &Database,
    mapping: &Mapping,
    caches: &Caches,
    resource: ResourceIx,
    uuid: Uuid,
    bytes_max: usize,
) -> Result<AnswerPart, ReadError> {
    let key = mapping.resource(resource).key;
    let mut client = database.get().await?;
    let Some(found) = by_uuid(&client, uuid, key, bytes_max).await? else { return Ok(AnswerPart::default()) };
    let found = vec![found];
    if is_current(&found) {
        return Ok(from_cache(found));
    }
    let snapshot = client.snapshot().await?;
    let part = match by_uuid(&snapshot, uuid, key, bytes_max).await? {
        Some(found) => composed(&snapshot, mapping, caches, vec![found], bytes_max).await?,
        None => AnswerPart::default(),
    };
    snapshot.commit().await?;
    Ok(part)
}
