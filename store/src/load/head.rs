//! Heads of documents: which version of what, since when.

use super::query_cached;
use crate::error::StoreError;
use crate::version::{effective_last_modified, effective_version};
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use millstream_schema::plan::ResourceKeyId;
use std::sync::LazyLock;
use tokio_postgres::Row;
use uuid::Uuid;

/// A document without its body, as one snapshot sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentHead {
    /// Surrogate key, never used again.
    pub document_id: i64,
    /// The public id.
    pub uuid: Uuid,
    /// Its resource type.
    pub key: ResourceKeyId,
    /// Its own version.
    pub content_version: i64,
    /// The version that readers see: above `content_version` while a cascade that has not reached it is open
    /// (docs/design/rules.md#rule-3).
    pub effective_version: i64,
    /// When the effective version came to be.
    pub last_modified: Timestamp,
}

impl DocumentHead {
    /// A cascade that will touch this document is open: its body must not be stored under its own version
    /// (docs/design/rules.md#rule-5).
    pub fn is_overtaken(&self) -> bool {
        self.effective_version > self.content_version
    }
}

/// Select list of a head, over `dms.Document` under the alias `d`. [`head_of`] reads it.
pub(crate) fn head_columns() -> String {
    let (version, last_modified) = (effective_version("d"), effective_last_modified("d"));
    format!(r#"d."DocumentId", d."DocumentUuid", d."ResourceKeyId", d."ContentVersion", {version}, {last_modified}"#)
}

/// Reads a head from a row that starts, at column `at`, with [`head_columns`].
pub(crate) fn head_of(row: &Row, at: usize) -> Result<DocumentHead, StoreError> {
    Ok(DocumentHead {
        document_id: row.try_get(at)?,
        uuid: row.try_get(at + 1)?,
        key: row.try_get(at + 2)?,
        content_version: row.try_get(at + 3)?,
        effective_version: row.try_get(at + 4)?,
        last_modified: row.try_get(at + 5)?,
    })
}

/// The heads of these documents, ordered by DocumentId. Documents that do not exist are missing from the answer.
///
/// The sub-select hides the length of the array from the planner, which would plan anew for each.
pub async fn heads_by_id<C: GenericClient>(client: &C, ids: &[i64]) -> Result<Vec<DocumentHead>, StoreError> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| select_heads(r#"d."DocumentId" = ANY((SELECT $1::int8[])::int8[])"#, ""));
    read_heads(&query_cached(client, &SQL, &[&ids]).await?)
}

/// The heads of the documents with these public ids, ordered by DocumentId.
pub async fn heads_by_uuid<C: GenericClient>(client: &C, uuids: &[Uuid]) -> Result<Vec<DocumentHead>, StoreError> {
    static SQL: LazyLock<String> = LazyLock::new(|| select_heads(r#"d."DocumentUuid" = ANY($1::uuid[])"#, ""));
    read_heads(&query_cached(client, &SQL, &[&uuids]).await?)
}

/// The heads of up to `limit` documents whose DocumentId lies above `after`, ordered by DocumentId: the next page of a
/// pass over all documents.
pub async fn heads_after<C: GenericClient>(
    client: &C,
    after: i64,
    limit: u32,
) -> Result<Vec<DocumentHead>, StoreError> {
    static SQL: LazyLock<String> = LazyLock::new(|| select_heads(r#"d."DocumentId" > $1::int8"#, "LIMIT $2::int8"));
    read_heads(&query_cached(client, &SQL, &[&after, &i64::from(limit)]).await?)
}

fn select_heads(condition: &str, tail: &str) -> String {
    let columns = head_columns();
    format!(r#"SELECT {columns} FROM "dms"."Document" d WHERE {condition} ORDER BY d."DocumentId" {tail}"#)
}

fn read_heads(rows: &[Row]) -> Result<Vec<DocumentHead>, StoreError> {
    rows.iter().map(|row| head_of(row, 0)).collect()
}
