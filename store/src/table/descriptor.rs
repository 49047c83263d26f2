//! `dms.Descriptor`.

use crate::connect::GenericClient;
use millstream_schema::plan::ResourceKeyId;

use super::query::{query_cached, read_rows, row_struct, sql};
use crate::error::StoreError;
use crate::transaction::pipeline::{Param, Pipeline, params};

const BY_ID: &str = sql!("descriptor_by_id.sql");
/// Leaves out what a descriptor never changes: see [`DescriptorColumn::is_immutable`](millstream_schema::plan::DescriptorColumn::is_immutable).
const UPDATE: &str = sql!("descriptor_update.sql");

const COLUMNS: &str = sql!("descriptor_columns.sql");
const COLUMNS_SET: &str = sql!("descriptor_columns_set.sql");

row_struct! {
    /// The columns of a descriptor that identify it.
    #[derive(Debug, Clone)]
    pub struct DescriptorColumns {
        /// The descriptor's document.
        pub document_id: i64 = "DocumentId",
        /// Its namespace, as the client wrote it.
        pub namespace: String = "Namespace",
        /// Its code value, as the client wrote it.
        pub code_value: String = "CodeValue",
        /// `namespace#codeValue`, written by the writer.
        pub uri: String = "Uri",
        /// The same in lower case.
        pub uri_lower: String = "UriLower",
        /// Its type.
        pub key: ResourceKeyId = "ResourceKeyId",
    }
}

/// Reads the identifying columns of descriptors.
pub async fn columns<C: GenericClient>(client: &C, ids: &[i64]) -> Result<Vec<DescriptorColumns>, StoreError> {
    read_rows(&query_cached(client, COLUMNS, &[&ids]).await?)
}

/// Adds the correction of the columns that the writer derives.
pub fn set_derived_columns(
    pipeline: &mut Pipeline<'_>,
    document_id: i64,
    uri: String,
    uri_lower: String,
    key: ResourceKeyId,
) {
    pipeline.execute(COLUMNS_SET, params![document_id, uri, uri_lower, key]);
}

row_struct! {
    /// A descriptor as a referrer needs it.
    #[derive(Debug, Clone)]
    pub struct DescriptorUri {
        /// The descriptor's document.
        pub document_id: i64 = "DocumentId",
        /// Its URI.
        pub uri: Box<str> = "Uri",
        /// Its type.
        pub key: ResourceKeyId = "ResourceKeyId",
    }
}

/// Reads descriptors by DocumentId.
pub async fn by_id<C: GenericClient>(client: &C, ids: &[i64]) -> Result<Vec<DescriptorUri>, StoreError> {
    read_rows(&query_cached(client, BY_ID, &[&ids]).await?)
}

/// Adds the update of descriptors; `parameters` are the ids and one array per
/// [`DescriptorColumn`](millstream_schema::plan::DescriptorColumn).
pub fn update(pipeline: &mut Pipeline<'_>, parameters: Vec<Param>) {
    pipeline.execute(UPDATE, parameters);
}

/// SQL of the DocumentId of the descriptor of a type whose lower-case URI is the parameter `uri_lower` (such as `$4`).
pub(crate) fn id_by_uri(uri_lower: &str, key: ResourceKeyId) -> String {
    format!(
        r#"(SELECT z."DocumentId" FROM "dms"."Descriptor" z WHERE z."UriLower" = {uri_lower} AND z."ResourceKeyId" = {key}::int2)"#
    )
}

/// SQL condition that the `dms.Descriptor` row under the alias `r` is of a type.
pub(crate) fn is_of_type(key: ResourceKeyId) -> String {
    format!(r#"r."ResourceKeyId" = {key}::int2"#)
}
