//! Reading and removing cached bodies.

use crate::compose::envelope;
use crate::error::StoreError;
use crate::table::query::{FromRow, column_indexes, query_cached, read_rows, sql};
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

const LOAD_SQL: &str = sql!("cache_by_id.sql");
const PAGE_SQL: &str = sql!("cache_page_by_uuid.sql");
const EVICT_SQL: &str = sql!("cache_evict.sql");

/// A cached document, as a GET returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedDocument {
    /// Surrogate key.
    pub document_id: i64,
    /// The public id.
    pub uuid: Uuid,
    /// `ResourceKeyId` of its type.
    pub resource_key: i16,
    /// The version that the body was composed at.
    pub version: i64,
    /// The body in its envelope: with `id`, `_etag` and `_lastModifiedDate`.
    pub json: Vec<u8>,
}

// The body is copied once, into its envelope.
impl FromRow for CachedDocument {
    type Columns = [usize; 6];

    fn columns(row: &Row) -> Result<Self::Columns, StoreError> {
        column_indexes(row, ["DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body"])
    }

    fn from_row(row: &Row, columns: &Self::Columns) -> Result<Self, StoreError> {
        let [document_id, uuid, resource_key, version, modified, body] = *columns;
        let (uuid, version): (Uuid, i64) = (row.try_get(uuid)?, row.try_get(version)?);
        let (body, modified): (&str, Timestamp) = (row.try_get(body)?, row.try_get(modified)?);
        Ok(Self {
            document_id: row.try_get(document_id)?,
            uuid,
            resource_key: row.try_get(resource_key)?,
            version,
            json: envelope(body.as_bytes(), uuid, version, modified),
        })
    }
}

/// Returns those of the documents that are cached, in no particular order.
///
/// # Errors
/// When the database fails.
pub async fn load<C: GenericClient>(client: &C, document_ids: &[i64]) -> Result<Vec<CachedDocument>, StoreError> {
    read_rows(&query_cached(client, LOAD_SQL, &[&document_ids]).await?)
}

/// Returns up to `limit` cached documents whose public id is above `after`, in the order of their public ids.
///
/// # Errors
/// When the database fails.
pub async fn page_by_uuid<C: GenericClient>(
    client: &C,
    after: Uuid,
    limit: i64,
) -> Result<Vec<CachedDocument>, StoreError> {
    read_rows(&query_cached(client, PAGE_SQL, &[&after, &limit]).await?)
}

/// Removes these documents from the cache. Readers get them from the tables until they are rebuilt.
///
/// # Errors
/// When the database fails.
pub async fn evict<C: GenericClient>(client: &C, document_ids: &[i64]) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(EVICT_SQL).await?;
    Ok(client.execute(&statement, &[&document_ids]).await?)
}
