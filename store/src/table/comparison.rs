//! `dms.Document` beside `dms.DocumentCache`: which cached bodies are missing or of another version.

use crate::error::StoreError;
use crate::load::query_cached;
use crate::table::columns;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

const PAGE_SQL: &str = include_str!("../../sql/table/comparison_page.sql");

/// A document compared with its cached body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComparedDocument {
    /// Surrogate key.
    pub document_id: i64,
    /// The public id.
    pub uuid: Uuid,
    /// `ResourceKeyId` of its type.
    pub resource_key: i16,
    /// Its own version.
    pub version: i64,
    /// The cache has no body of it, or one of another version.
    pub stale: bool,
}

impl ComparedDocument {
    fn read(rows: &[Row]) -> Result<Vec<Self>, StoreError> {
        let names = ["DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "Stale"];
        let [document_id, uuid, resource_key, version, stale] = columns::indexes(rows, names)?;
        rows.iter()
            .map(|row| {
                Ok(Self {
                    document_id: row.try_get(document_id)?,
                    uuid: row.try_get(uuid)?,
                    resource_key: row.try_get(resource_key)?,
                    version: row.try_get(version)?,
                    stale: row.try_get(stale)?,
                })
            })
            .collect()
    }
}

/// Compares up to `limit` documents whose DocumentId is above `after`, in ascending order.
///
/// # Errors
/// When the database fails.
pub async fn page<C: GenericClient>(client: &C, after: i64, limit: i64) -> Result<Vec<ComparedDocument>, StoreError> {
    ComparedDocument::read(&query_cached(client, PAGE_SQL, &[&after, &limit]).await?)
}
