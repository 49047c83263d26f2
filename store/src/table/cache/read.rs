//! Reading and removing cached bodies.

use crate::compose::envelope;
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::table::query::{FromRow, column_indexes, query_cached, sql};
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

/// A cached document whose body stayed in the table, because it did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeferredBody {
    /// Surrogate key.
    pub document_id: i64,
    /// The public id.
    pub uuid: Uuid,
    /// Size of its body, in bytes.
    pub bytes: usize,
}

/// Cached documents, as many as fit.
#[derive(Debug, Default)]
pub struct CachedPart {
    /// The documents whose bodies fit.
    pub documents: Vec<CachedDocument>,
    /// The others, in the order of the read. If no body fits, `documents` is empty and the first of these tells how
    /// many bytes it needs.
    pub deferred: Vec<DeferredBody>,
}

/// A row of a read that is limited by bytes.
enum CachedRow {
    Read(CachedDocument),
    Deferred(DeferredBody),
}

// The body is copied once, into its envelope.
impl FromRow for CachedRow {
    type Columns = [usize; 7];

    fn columns(row: &Row) -> Result<Self::Columns, StoreError> {
        let names =
            ["DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "LastModifiedAt", "Body", "BodyBytes"];
        column_indexes(row, names)
    }

    fn from_row(row: &Row, columns: &Self::Columns) -> Result<Self, StoreError> {
        let [document_id, uuid, resource_key, version, modified, body, bytes] = *columns;
        let (document_id, uuid): (i64, Uuid) = (row.try_get(document_id)?, row.try_get(uuid)?);
        let Some(body) = row.try_get::<_, Option<&str>>(body)? else {
            let bytes = usize::try_from(row.try_get::<_, i64>(bytes)?).unwrap_or_default();
            return Ok(Self::Deferred(DeferredBody { document_id, uuid, bytes }));
        };
        let (version, modified): (i64, Timestamp) = (row.try_get(version)?, row.try_get(modified)?);
        Ok(Self::Read(CachedDocument {
            document_id,
            uuid,
            resource_key: row.try_get(resource_key)?,
            version,
            json: envelope(body.as_bytes(), uuid, version, modified),
        }))
    }
}

impl CachedPart {
    /// Frees each row once it is read.
    fn of(rows: Vec<Row>) -> Result<Self, StoreError> {
        let mut part = Self::default();
        let Some(first) = rows.first() else { return Ok(part) };
        let columns = CachedRow::columns(first)?;
        for row in rows {
            match CachedRow::from_row(&row, &columns)? {
                CachedRow::Read(document) => part.documents.push(document),
                CachedRow::Deferred(deferred) => part.deferred.push(deferred),
            }
        }
        Ok(part)
    }
}

/// Returns those of the documents that are cached, in the order of their DocumentIds, with bodies of at most
/// `bytes_max` bytes.
///
/// # Errors
/// When the database fails.
pub async fn load<C: GenericClient>(
    client: &C,
    document_ids: &[i64],
    bytes_max: usize,
) -> Result<CachedPart, StoreError> {
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    CachedPart::of(query_cached(client, LOAD_SQL, &[&document_ids, &bytes_max]).await?)
}

/// Returns up to `limit` cached documents whose public id is above `after`, in the order of their public ids, with
/// bodies of at most `bytes_max` bytes.
///
/// # Errors
/// When the database fails.
pub async fn page_by_uuid<C: GenericClient>(
    client: &C,
    after: Uuid,
    limit: i64,
    bytes_max: usize,
) -> Result<CachedPart, StoreError> {
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    CachedPart::of(query_cached(client, PAGE_SQL, &[&after, &limit, &bytes_max]).await?)
}

/// Removes these documents from the cache. Readers get them from the tables until they are rebuilt.
///
/// # Errors
/// When the database fails.
pub async fn evict<C: GenericClient>(client: &C, document_ids: &[i64]) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(EVICT_SQL).await?;
    client.execute(&statement, &[&document_ids]).await
}
