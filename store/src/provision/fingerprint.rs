//! Checks that a database holds what its fingerprint claims.

use millstream_schema::apischema::EffectiveSchema;
use tokio_postgres::Client;

use crate::error::StoreError;
use crate::table::effective_schema::Fingerprint;
use crate::table::resource_key;

/// The name of a relation in schema `dms`, if there is one.
pub(super) async fn foreign_relation(client: &Client) -> Result<Option<String>, StoreError> {
    let sql = "SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'dms' ORDER BY c.relname LIMIT 1";
    Ok(client.query_opt(sql, &[]).await?.map(|row| row.try_get("name")).transpose()?)
}

/// The first contradiction to the claim that the database was built for `schema`.
///
/// Every document has a ResourceKeyId, so one wrong row here turns documents of one type into another.
pub(super) async fn difference(
    client: &Client,
    found: &Fingerprint,
    schema: &EffectiveSchema,
) -> Result<Option<String>, StoreError> {
    let keys = resource_key::rows(client).await?;
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
