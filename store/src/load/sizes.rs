//! Sizes of documents, computed by the server from their rows.
//!
//! A batch is loaded without knowing its size, because almost every batch fits. Only one that did not fit is measured.

use super::rows::{ids_by_type, row_overhead};
use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::table::document::DocumentHead;
use crate::table::row_size::row_sizes;
use millstream_schema::plan::Mapping;
use std::collections::HashMap;

/// Bytes of a value that is not text, with the length in front of it.
const VALUE_BYTES: usize = 12;

/// Returns the memory that the rows of each document take when they are loaded. Documents without rows are left out.
pub(crate) async fn document_sizes<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    heads: &[DocumentHead],
) -> Result<HashMap<i64, usize>, StoreError> {
    let mut sizes: HashMap<i64, usize> = HashMap::new();
    for (ix, ids) in ids_by_type(mapping, heads.iter().map(|head| (head.document_id, head.key))) {
        for table in &mapping.resource(ix).tables {
            let values = (1 + table.depth + table.columns.len()) * VALUE_BYTES;
            for found in row_sizes(client, table, &ids).await? {
                let rows = usize::try_from(found.rows).unwrap_or(usize::MAX);
                let bytes = rows.saturating_mul(row_overhead(table) + values);
                let text = usize::try_from(found.text_bytes).unwrap_or(usize::MAX);
                let size = sizes.entry(found.document_id).or_default();
                *size = size.saturating_add(bytes).saturating_add(text);
            }
        }
    }
    Ok(sizes)
}
