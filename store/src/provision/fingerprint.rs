//! What a database says it was built for, and whether that is true.

use millstream_schema::apischema::{EffectiveSchema, ResourceKey};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::error::StoreError;

/// The row of `dms.EffectiveSchema`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Lower-hex hash of the effective schema.
    pub effective_schema_hash: String,
    /// Format version of the ApiSchema files.
    pub api_schema_format_version: String,
    /// Rows of `dms.ResourceKey`.
    pub resource_key_count: i32,
    /// SHA-256 of those rows.
    pub resource_key_seed_hash: Vec<u8>,
    /// The database's own id: a copy or a restore keeps it, a newly built one differs.
    pub database_uuid: Uuid,
    /// When it was built.
    pub applied_at: jiff::Timestamp,
}

/// Reads the fingerprint; `None` if the database has none.
pub(super) async fn read(client: &Client) -> Result<Option<Fingerprint>, StoreError> {
    let there = client.query_one(r#"SELECT to_regclass('"dms"."EffectiveSchema"') IS NOT NULL"#, &[]).await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let sql = r#"SELECT "EffectiveSchemaHash", "ApiSchemaFormatVersion", "ResourceKeyCount", "ResourceKeySeedHash",
                        "DatabaseUuid", "AppliedAt" FROM "dms"."EffectiveSchema" WHERE "Id" = 1"#;
    let Some(row) = client.query_opt(sql, &[]).await? else { return Ok(None) };
    Ok(Some(Fingerprint {
        effective_schema_hash: row.try_get(0)?,
        api_schema_format_version: row.try_get(1)?,
        resource_key_count: row.try_get(2)?,
        resource_key_seed_hash: row.try_get(3)?,
        database_uuid: row.try_get(4)?,
        applied_at: row.try_get(5)?,
    }))
}

/// Something in schema `dms`, if anything is there at all.
pub(super) async fn foreign_relation(client: &Client) -> Result<Option<String>, StoreError> {
    let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'dms' ORDER BY c.relname LIMIT 1";
    match client.query_opt(sql, &[]).await? {
        Some(row) => Ok(Some(row.try_get(0)?)),
        None => Ok(None),
    }
}

/// What contradicts the claim that the database was built for `schema`; `None` if nothing does.
///
/// Every row of every document carries a ResourceKeyId, so one wrong row here turns documents of one type into another.
pub(super) async fn difference(
    client: &Client,
    found: &Fingerprint,
    schema: &EffectiveSchema,
) -> Result<Option<String>, StoreError> {
    let sql = r#"SELECT "ResourceKeyId", "ProjectName", "ResourceName", "ResourceVersion"
                 FROM "dms"."ResourceKey" ORDER BY "ResourceKeyId""#;
    let mut keys = Vec::new();
    for row in client.query(sql, &[]).await? {
        keys.push(ResourceKey {
            id: row.try_get(0)?,
            project_name: row.try_get(1)?,
            resource_name: row.try_get(2)?,
            resource_version: row.try_get(3)?,
        });
    }
    if keys.len() != schema.resource_keys.len() || keys.len() != usize::try_from(found.resource_key_count).unwrap_or(0)
    {
        return Ok(Some(format!(
            "\"dms\".\"ResourceKey\" has {} rows where {} belong",
            keys.len(),
            schema.resource_keys.len()
        )));
    }
    if let Some((is, should)) = keys.iter().zip(&schema.resource_keys).find(|(is, should)| is != should) {
        return Ok(Some(format!("\"dms\".\"ResourceKey\" holds {is:?} where {should:?} belongs")));
    }
    let seed_hash: String = found.resource_key_seed_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((seed_hash != schema.resource_key_seed_hash).then(|| {
        format!(
            "the seed hash of \"dms\".\"ResourceKey\" is {seed_hash} and should be {}",
            schema.resource_key_seed_hash
        )
    }))
}
