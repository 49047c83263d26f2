//! The fields of the index. They do not depend on the resources.

use tantivy::schema::{
    BytesOptions, FAST, Field, INDEXED, IndexRecordOption, JsonObjectOptions, STORED, Schema, TextFieldIndexing,
    TextOptions,
};

/// Version of the index format: entries, terms, columns. A folder of another version has to be rebuilt.
pub(super) const INDEX_FORMAT: u32 = 1;

/// Handles of the index's fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// The uuid of the document, on every entry of its block. Blocks are deleted by it.
    pub(super) block: Field,
    /// Digest of the resource or collection, or the tombstone kind, on every entry.
    pub(super) kind: Field,
    /// Values of fields, as terms.
    pub(super) exact: Field,
    /// Documents and tombstones: the uuid again, as a column.
    pub(super) id: Field,
    /// Documents and tombstones: the version, as a column.
    pub(super) version: Field,
    /// Tombstones: time of the delete, in seconds since 1970.
    pub(super) deleted_at_s: Field,
    /// Documents: the bytes.
    pub(super) body: Field,
    /// Documents: the terms of free text.
    pub(super) text: Field,
    /// Documents: values by path, as columns.
    pub(super) values: Field,
}

/// Names of the columns.
pub(super) const ID: &str = "id";
pub(super) const VERSION: &str = "version";

impl Layout {
    /// Returns the schema of the index and the handles of its fields.
    pub(super) fn new() -> (Schema, Self) {
        let mut schema = Schema::builder();
        let terms = TextFieldIndexing::default().set_tokenizer("raw").set_index_option(IndexRecordOption::WithFreqs);
        let layout = Self {
            block: schema.add_bytes_field("block", INDEXED),
            kind: schema.add_bytes_field("kind", INDEXED),
            exact: schema.add_bytes_field("exact", INDEXED),
            id: schema.add_bytes_field(ID, FAST),
            version: schema.add_i64_field(VERSION, FAST),
            deleted_at_s: schema.add_u64_field("deleted_at_s", INDEXED),
            body: schema.add_bytes_field("body", BytesOptions::from(STORED)),
            text: schema.add_text_field("text", TextOptions::default().set_indexing_options(terms)),
            values: schema.add_json_field("values", JsonObjectOptions::default().set_fast("raw")),
        };
        (schema.build(), layout)
    }
}

/// Returns the column name of a path. Dots have a meaning in the index.
pub(super) fn column(path: &str) -> String {
    format!("values.{}", member(path))
}

/// Returns the name of a path within `values`.
pub(super) fn member(path: &str) -> String {
    path.replace('.', "/")
}
