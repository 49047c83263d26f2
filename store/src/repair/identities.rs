//! Identities computed from rows, for any documents.

use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::load::{Extent, RowBudget, load_batch};
use crate::table::document;
use crate::verify::ComputedIdentities;
use millstream_schema::plan::Mapping;
use std::collections::HashMap;

/// Computes the identity of each document from its root row and those that its identity leads to, in
/// `identityJsonPaths` order; or the reason why that is impossible. Documents that do not exist are left out.
pub async fn compute_identities<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    ids: &[i64],
) -> Result<HashMap<i64, Result<Vec<String>, String>>, StoreError> {
    let types = document::types(client, ids).await?;
    let ids: Vec<i64> = types.iter().map(|found| found.document_id).collect();
    let documents = types.into_iter().map(|found| (found.document_id, found.key));
    let batch = load_batch(client, mapping, documents, Extent::Root, &RowBudget::measured()).await?.unwrap_or_default();
    let computed = ComputedIdentities::of_batch(client, mapping, &batch, &ids).await?;
    let identity = |id: i64| match computed.identity(id)? {
        Ok(values) => Some((id, Ok(values.iter().map(ToString::to_string).collect()))),
        Err(reason) => Some((id, Err(reason.to_string()))),
    };
    Ok(ids.into_iter().filter_map(identity).collect())
}
