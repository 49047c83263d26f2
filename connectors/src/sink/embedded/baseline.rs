//! The index entries of documents without the sink around them: the baseline of benchmarks.
//!
//! A plain tantivy writer that adds these entries does the minimum work of any sink with this index.

use super::encoding::ModelKeys;
use super::entry::{EntryError, document_block};
use super::layout::Layout;
use millstream_pipeline::sink::{Content, Delivery};
use millstream_search::SearchModel;
use std::sync::Arc;
use tantivy::TantivyDocument;
use tantivy::schema::Schema;

/// Creates the entries of documents in the embedded index.
#[derive(Debug)]
pub struct BaselineEntries {
    model: Arc<SearchModel>,
    keys: ModelKeys,
    layout: Layout,
    schema: Schema,
}

impl BaselineEntries {
    /// Creates the encoder for the resources of a schema.
    #[must_use]
    pub fn new(model: Arc<SearchModel>) -> Self {
        let (schema, layout) = Layout::new();
        Self { keys: ModelKeys::of(&model), model, layout, schema }
    }

    /// Returns the fields of an index that takes the entries.
    #[must_use]
    pub fn schema(&self) -> Schema {
        self.schema.clone()
    }

    /// Encodes one document into entries that must stay together; none for a delete.
    ///
    /// # Errors
    /// The schema has no such resource, or the body is not JSON.
    pub fn of(&self, delivery: &Delivery) -> Result<Vec<TantivyDocument>, EntryError> {
        let Delivery { key, version, content, .. } = delivery;
        let Content::Document(body) = content else { return Ok(Vec::new()) };
        document_block(&self.layout, &self.keys, &self.model, key, *version, body)
    }
}
