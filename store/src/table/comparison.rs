//! `dms.Document` beside `dms.DocumentCache`: which cached bodies are missing or of another version.

use super::query::{query_cached, read_rows, row_struct, sql};
use crate::connect::GenericClient;
use crate::error::StoreError;
use uuid::Uuid;

const PAGE_SQL: &str = sql!("comparison_page.sql");

row_struct! {
    /// A document compared with its cached body.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ComparedDocument {
        /// Surrogate key.
        pub document_id: i64 = "DocumentId",
        /// The public id.
        pub uuid: Uuid = "DocumentUuid",
        /// `ResourceKeyId` of its type.
        pub resource_key: i16 = "ResourceKeyId",
        /// Its own version.
        pub version: i64 = "ContentVersion",
        /// The cache has no body of it, or one of another version.
        pub stale: bool = "Stale",
    }
}

/// Compares up to `limit` documents whose DocumentId is above `after`, in ascending order.
///
/// # Errors
/// When the database fails.
pub async fn page<C: GenericClient>(client: &C, after: i64, limit: i64) -> Result<Vec<ComparedDocument>, StoreError> {
    read_rows(&query_cached(client, PAGE_SQL, &[&after, &limit]).await?)
}
