//! `dms.EffectiveSchema`: what the database was built for.

use crate::connect::GenericClient;
use uuid::Uuid;

use super::query::{read_row, row_struct, sql};
use crate::error::StoreError;

const EXISTS: &str = sql!("effective_schema_exists.sql");
const FINGERPRINT: &str = sql!("effective_schema_fingerprint.sql");

row_struct! {
    /// The row of `dms.EffectiveSchema`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Fingerprint {
        /// Lower-hex hash of the effective schema.
        pub effective_schema_hash: String = "EffectiveSchemaHash",
        /// Format version of the ApiSchema files.
        pub api_schema_format_version: String = "ApiSchemaFormatVersion",
        /// Rows of `dms.ResourceKey`.
        pub resource_key_count: i32 = "ResourceKeyCount",
        /// SHA-256 of those rows.
        pub resource_key_seed_hash: Vec<u8> = "ResourceKeySeedHash",
        /// The database's own id: a copy or a restore keeps it, a newly built one differs.
        pub database_uuid: Uuid = "DatabaseUuid",
        /// When it was built.
        pub applied_at: jiff::Timestamp = "AppliedAt",
    }
}

/// Reads the fingerprint; `None` if the table or its row does not exist.
pub async fn fingerprint<C: GenericClient>(client: &C) -> Result<Option<Fingerprint>, StoreError> {
    let exists = client.query_one(EXISTS, &[]).await?;
    if !exists.try_get::<_, bool>("Exists")? {
        return Ok(None);
    }
    client.query_opt(FINGERPRINT, &[]).await?.as_ref().map(read_row).transpose()
}
