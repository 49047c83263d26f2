//! Documents and tombstones in one shape: the newest version that the database knows of a public id.

use super::query::{query_cached, read_rows, row_struct, sql};
use crate::connect::GenericClient;
use crate::error::StoreError;
use uuid::Uuid;

const BY_UUID_SQL: &str = sql!("known_version_by_uuid.sql");

row_struct! {
    /// A row of `dms.Document`, `dms.Tombstone` or `dms.Outbox` without its content.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct KnownVersion {
        /// Surrogate key.
        pub document_id: i64 = "DocumentId",
        /// The public id.
        pub uuid: Uuid = "DocumentUuid",
        /// `ResourceKeyId` of its type.
        pub resource_key: i16 = "ResourceKeyId",
        /// The document's own version, or the version of its delete.
        pub version: i64 = "ContentVersion",
        /// The document was deleted.
        pub deleted: bool = "Deleted",
    }
}

/// Returns the documents and tombstones with these public ids, in no particular order. An id without a row is unknown:
/// it never existed, or its tombstone has been pruned.
///
/// # Errors
/// When the database fails.
pub async fn by_uuid<C: GenericClient>(client: &C, uuids: &[Uuid]) -> Result<Vec<KnownVersion>, StoreError> {
    read_rows(&query_cached(client, BY_UUID_SQL, &[&uuids]).await?)
}
