//! The fields of the index itself: few, whatever the types of documents are.

use tantivy::schema::{
    BytesOptions, FAST, Field, INDEXED, IndexRecordOption, JsonObjectOptions, STORED, Schema, TextFieldIndexing,
    TextOptions,
};

/// Form of the index: entries, terms, columns. A folder in another form is built anew.
pub(super) const FORM: u32 = 1;

/// Handles of the index's fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// The uuid of the document, on every entry of its block: what a block is deleted by.
    pub(super) block: Field,
    /// [`super::encoding::Kind`], on every entry.
    pub(super) kind: Field,
    /// Values of fields, as terms.
    pub(super) exact: Field,
    /// Documents and tombstones: the uuid again, as a column.
    pub(super) id: Field,
    /// Documents and tombstones: the version, as a column.
    pub(super) version: Field,
    /// Tombstones: when it was written, in seconds since 1970.
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
    /// The schema of an index, and the handles in it.
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

/// Name of the column of a path. The index gives dots a meaning of its own.
pub(super) fn column(path: &str) -> String {
    format!("values.{}", member(path))
}

/// Name of the path within `values`.
pub(super) fn member(path: &str) -> String {
    path.replace('.', "/")
}
