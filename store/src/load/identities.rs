//! Identities of referenced documents, as `dms.ReferentialIdentity` holds them.

use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::table::identity;
use millstream_schema::plan::{Mapping, ResourceKeyId};
use std::collections::HashMap;
use std::sync::Arc;

/// Canonical texts of a document's identity, in `identityJsonPaths` order.
pub(crate) type IdentityValues = Arc<[Box<str>]>;

/// Reads the identities of these documents. A document without one, or with a damaged one, is left out: documents that
/// refer to it cannot be composed, all others can.
pub(super) async fn load_identities<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    ids: &[i64],
) -> Result<HashMap<i64, IdentityValues>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let abstract_keys: Vec<ResourceKeyId> = mapping.abstracts.iter().map(|a| a.key).collect();
    let rows = identity::values_except_types(client, ids, &abstract_keys).await?;
    let whole = |row: identity::StoredValues| {
        let values = row.values.into_iter().collect::<Option<Vec<Box<str>>>>()?;
        Some((row.document_id, IdentityValues::from(values)))
    };
    Ok(rows.into_iter().filter_map(whole).collect())
}
