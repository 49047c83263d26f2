//! Identities of referenced documents, as `dms.ReferentialIdentity` holds them.

use super::query_cached;
use crate::error::StoreError;
use deadpool_postgres::GenericClient;
use millstream_schema::plan::{Mapping, ResourceKeyId};
use std::collections::HashMap;
use std::sync::Arc;

/// Canonical texts of a document's identity, in `identityJsonPaths` order.
pub(crate) type IdentityValues = Arc<[Box<str>]>;

/// The row of the document's own type; its alias under an abstract type repeats the values. The sub-select hides the
/// length of the array from the planner, which would plan anew for each.
const IDENTITIES_SQL: &str = r#"SELECT i."DocumentId", i."IdentityValues"
  FROM "dms"."ReferentialIdentity" i
 WHERE i."DocumentId" = ANY((SELECT $1::int8[])::int8[]) AND i."ResourceKeyId" <> ALL($2::int2[])"#;

/// Reads the identities of these documents. A document without one, or with a damaged one, is missing from the answer:
/// whoever refers to it cannot be composed, all others can.
pub(super) async fn load_identities<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    ids: &[i64],
) -> Result<HashMap<i64, IdentityValues>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let abstract_keys: Vec<ResourceKeyId> = mapping.abstracts.iter().map(|a| a.key).collect();
    let rows = query_cached(client, IDENTITIES_SQL, &[&ids, &abstract_keys]).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let texts: Vec<Option<&str>> = row.try_get(1)?;
        if let Some(values) = texts.into_iter().map(|text| text.map(Box::from)).collect::<Option<Vec<Box<str>>>>() {
            found.insert(row.try_get(0)?, IdentityValues::from(values));
        }
    }
    Ok(found)
}
