//! Documents, tombstones and outbox rows in the order in which a replay walks them, and how many there are.

use super::query::{query_cached, read_rows, row_struct, sql};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::table::known_version::KnownVersion;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

const DOCUMENTS_SQL: &str = sql!("replay_documents.sql");
const DOCUMENTS_OF_TYPE_SQL: &str = sql!("replay_documents_of_type.sql");
const TOMBSTONES_SQL: &str = sql!("replay_tombstones.sql");
const OUTBOX_SQL: &str = sql!("replay_outbox.sql");
const OUTBOX_SPAN_SQL: &str = sql!("replay_outbox_span.sql");
const COUNT_ALL_SQL: &str = sql!("replay_count_all.sql");
const COUNT_TYPE_SQL: &str = sql!("replay_count_type.sql");
const COUNT_DOCUMENT_SQL: &str = sql!("replay_count_document.sql");
const COUNT_OUTBOX_SQL: &str = sql!("replay_count_outbox.sql");

/// Returns up to `limit` documents above `after`, ascending, of one type if `resource_key` is given. Documents that are
/// not cached are left out unless `uncached` is set.
///
/// # Errors
/// When the database fails.
pub async fn documents<C: GenericClient>(
    client: &C,
    resource_key: Option<i16>,
    after: i64,
    uncached: bool,
    limit: i64,
) -> Result<Vec<KnownVersion>, StoreError> {
    let rows = match resource_key {
        None => query_cached(client, DOCUMENTS_SQL, &[&after, &limit, &uncached]).await?,
        Some(key) => query_cached(client, DOCUMENTS_OF_TYPE_SQL, &[&after, &limit, &uncached, &key]).await?,
    };
    read_rows(&rows)
}

/// Returns up to `limit` tombstones above `after`, ascending by public id, of one type if `resource_key` is given.
///
/// # Errors
/// When the database fails.
pub async fn tombstones<C: GenericClient>(
    client: &C,
    resource_key: Option<i16>,
    after: Uuid,
    limit: i64,
) -> Result<Vec<KnownVersion>, StoreError> {
    read_rows(&query_cached(client, TOMBSTONES_SQL, &[&after, &limit, &resource_key]).await?)
}

/// Rows of one page of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxPage {
    /// The change records, ascending by `OutboxId`.
    pub changes: Vec<KnownVersion>,
    /// `OutboxId` of the last of them.
    pub last: Option<i64>,
}

/// Returns up to `limit` change records with an `OutboxId` above `after` and at most `to`.
///
/// # Errors
/// When the database fails.
pub async fn outbox<C: GenericClient>(client: &C, after: i64, to: i64, limit: i64) -> Result<OutboxPage, StoreError> {
    let rows = query_cached(client, OUTBOX_SQL, &[&after, &to, &limit]).await?;
    let last = rows.last().map(|row| row.try_get("OutboxId")).transpose()?;
    Ok(OutboxPage { changes: read_rows(&rows)?, last })
}

/// Returns the first and the last `OutboxId` created in a span of time, in milliseconds since 1970 UTC, both ends
/// included; `None` if there are no change records in it.
///
/// # Errors
/// When the database fails.
pub async fn outbox_span<C: GenericClient>(
    client: &C,
    from_ms: u64,
    to_ms: u64,
) -> Result<Option<(i64, i64)>, StoreError> {
    let statement = client.prepare_cached(OUTBOX_SPAN_SQL).await?;
    let row = client.query_one(&statement, &[&(from_ms as f64), &(to_ms as f64)]).await?;
    let (first, last): (Option<i64>, Option<i64>) = (row.try_get("First")?, row.try_get("Last")?);
    Ok(first.zip(last))
}

/// The rows that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayScope {
    /// All documents and tombstones.
    All,
    /// Those of one type.
    Type(i16),
    /// The document or tombstone with this public id.
    Document(Uuid),
    /// The change records with an `OutboxId` in this range, both ends included.
    Outbox(i64, i64),
}

row_struct! {
    /// A row of a count.
    struct TypeCountRow {
        resource_key: i16 = "ResourceKeyId",
        written: i64 = "Written",
        deleted: i64 = "Deletes",
    }
}

/// The number of rows of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeCount {
    /// `ResourceKeyId` of the type.
    pub resource_key: i16,
    /// Documents, or change records that are not deletes.
    pub written: u64,
    /// Tombstones, or change records that are deletes.
    pub deleted: u64,
}

impl TypeCount {
    /// Returns the sum of both numbers.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.written + self.deleted
    }
}

/// Counts rows by type, the largest number first.
///
/// # Errors
/// When the database fails.
pub async fn count<C: GenericClient>(client: &C, scope: ReplayScope) -> Result<Vec<TypeCount>, StoreError> {
    let (sql, params): (&str, Vec<&(dyn ToSql + Sync)>) = match &scope {
        ReplayScope::All => (COUNT_ALL_SQL, Vec::new()),
        ReplayScope::Type(key) => (COUNT_TYPE_SQL, vec![key]),
        ReplayScope::Document(uuid) => (COUNT_DOCUMENT_SQL, vec![uuid]),
        ReplayScope::Outbox(from, to) => (COUNT_OUTBOX_SQL, vec![from, to]),
    };
    let rows: Vec<TypeCountRow> = read_rows(&query_cached(client, sql, &params).await?)?;
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let count = |row: TypeCountRow| TypeCount {
        resource_key: row.resource_key,
        written: number(row.written),
        deleted: number(row.deleted),
    };
    Ok(rows.into_iter().map(count).collect())
}
