//! Documents and tombstones in one shape: the newest version that the database knows of a public id.

use crate::error::StoreError;
use crate::load::query_cached;
use crate::table::columns;
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

const BY_UUID_SQL: &str = include_str!("../../sql/table/known_version_by_uuid.sql");

/// A row of `dms.Document`, `dms.Tombstone` or `dms.Outbox` without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownVersion {
    /// Surrogate key.
    pub document_id: i64,
    /// The public id.
    pub uuid: Uuid,
    /// `ResourceKeyId` of its type.
    pub resource_key: i16,
    /// The document's own version, or the version of its delete.
    pub version: i64,
    /// The document was deleted.
    pub deleted: bool,
}

impl KnownVersion {
    /// Reads rows with the columns `DocumentId`, `DocumentUuid`, `ResourceKeyId`, `ContentVersion` and `Deleted`.
    pub(super) fn read(rows: &[Row]) -> Result<Vec<Self>, StoreError> {
        let names = ["DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion", "Deleted"];
        let [document_id, uuid, resource_key, version, deleted] = columns::indexes(rows, names)?;
        rows.iter()
            .map(|row| {
                Ok(Self {
                    document_id: row.try_get(document_id)?,
                    uuid: row.try_get(uuid)?,
                    resource_key: row.try_get(resource_key)?,
                    version: row.try_get(version)?,
                    deleted: row.try_get(deleted)?,
                })
            })
            .collect()
    }
}

/// Returns the documents and tombstones with these public ids, in no particular order. An id without a row is unknown:
/// it never existed, or its tombstone has been pruned.
///
/// # Errors
/// When the database fails.
pub async fn by_uuid<C: GenericClient>(client: &C, uuids: &[Uuid]) -> Result<Vec<KnownVersion>, StoreError> {
    KnownVersion::read(&query_cached(client, BY_UUID_SQL, &[&uuids]).await?)
}
