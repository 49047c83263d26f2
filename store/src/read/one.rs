//! One document by its public id.

use super::answer::{composed, from_cache, open_snapshot};
use super::document::{ReadDocument, ReadError};
use crate::connect::Database;
use crate::load::Caches;
use crate::table::document_body::by_uuid;
use millstream_schema::plan::{Mapping, ResourceIx};
use uuid::Uuid;

/// Reads a document. Returns `None` if there is none with this id, or if it is of another type.
pub async fn get(
    database: &Database,
    mapping: &Mapping,
    caches: &Caches,
    resource: ResourceIx,
    uuid: Uuid,
) -> Result<Option<ReadDocument>, ReadError> {
    let key = mapping.resource(resource).key;
    let mut client = database.get().await?;
    let Some(found) = by_uuid(&client, uuid, key).await? else { return Ok(None) };
    if found.body.is_some() {
        return Ok(from_cache(vec![found]).pop());
    }
    let snapshot = open_snapshot(&mut client).await?;
    let documents = match by_uuid(&snapshot, uuid, key).await? {
        Some(found) => composed(&snapshot, mapping, caches, vec![found]).await?,
        None => Vec::new(),
    };
    snapshot.commit().await?;
    Ok(documents.into_iter().next())
}
