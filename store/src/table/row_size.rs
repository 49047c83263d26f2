//! Sizes of the rows of documents in a resource table.

use crate::connect::GenericClient;
use millstream_schema::ddl::quote;
use millstream_schema::plan::{ColumnType, TablePlan};

use super::query::{read_rows, row_struct, sql};
use crate::error::StoreError;

const ROW_SIZES: &str = sql!("row_sizes.sql");

row_struct! {
    /// The rows of one document in one table.
    #[derive(Debug, Clone, Copy)]
    pub struct RowSizes {
        /// The document.
        pub document_id: i64 = "DocumentId",
        /// The number of rows.
        pub rows: i64 = "Rows",
        /// Bytes of all text values.
        pub text_bytes: i64 = "TextBytes",
    }
}

/// Reads the sizes of the rows of these documents.
pub async fn row_sizes<C: GenericClient>(
    client: &C,
    table: &TablePlan,
    ids: &[i64],
) -> Result<Vec<RowSizes>, StoreError> {
    let texts = table.columns.iter().filter(|column| column.ty == ColumnType::Text);
    let lengths: Vec<String> =
        texts.map(|column| format!("coalesce(octet_length(r.{}), 0)", quote(&column.name))).collect();
    let text_bytes = match lengths.is_empty() {
        true => "0::int8".to_owned(),
        false => format!("sum({})::int8", lengths.join(" + ")),
    };
    let document_id = table.key_columns.first().map_or("DocumentId", String::as_str);
    let sql = ROW_SIZES
        .replace("{column}", &document_id.replace('"', "\"\""))
        .replace("{text_bytes}", &text_bytes)
        .replace("{table}", &table.qualified);
    // Not kept prepared: only batches that do not fit are measured.
    read_rows(&client.query(sql.as_str(), &[&ids]).await?)
}
