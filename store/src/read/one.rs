//! One document by its public id.

use super::answer::{Found, composed, found_columns, from_cache, open_snapshot};
use super::{ReadDocument, ReadError};
use crate::connect::Database;
use crate::error::StoreError;
use crate::load::{Caches, query_cached};
use deadpool_postgres::GenericClient;
use millstream_schema::plan::{Mapping, ResourceIx, ResourceKeyId};
use std::sync::LazyLock;
use uuid::Uuid;

static SQL: LazyLock<String> = LazyLock::new(|| {
    let columns = found_columns();
    format!(
        r#"SELECT {columns}
  FROM "dms"."Document" d
  LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = d."DocumentId"
 WHERE d."DocumentUuid" = $1::uuid AND d."ResourceKeyId" = $2::int2"#
    )
});

/// Reads a document. `None`: there is none with this id, or it is of another type.
pub async fn get(
    database: &Database,
    mapping: &Mapping,
    caches: &Caches,
    resource: ResourceIx,
    uuid: Uuid,
) -> Result<Option<ReadDocument>, ReadError> {
    let key = mapping.resource(resource).key;
    let mut client = database.get().await?;
    let Some(found) = find(&client, uuid, key).await? else { return Ok(None) };
    if found.is_current() {
        return Ok(from_cache(vec![found]).pop());
    }
    let snapshot = open_snapshot(&mut client).await?;
    let documents = match find(&snapshot, uuid, key).await? {
        Some(found) => composed(&snapshot, mapping, caches, vec![found]).await?,
        None => Vec::new(),
    };
    snapshot.commit().await?;
    Ok(documents.into_iter().next())
}

async fn find<C: GenericClient>(client: &C, uuid: Uuid, key: ResourceKeyId) -> Result<Option<Found>, StoreError> {
    let rows = query_cached(client, &SQL, &[&uuid, &key]).await?;
    rows.first().map(|row| Found::read(row, 0)).transpose()
}
