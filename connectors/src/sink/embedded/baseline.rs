//! Index entries of documents without the sink: the baseline of benchmarks.
//!
//! A plain tantivy writer that adds these entries does the least work that a sink with this index can do.

use super::encoding::ModelKeys;
use super::entry::{EntryError, document_block};
use super::layout::Layout;
use millstream_pipeline::sink::{Content, Delivery};
use millstream_search::SearchModel;
use std::sync::Arc;
use tantivy::TantivyDocument;
use tantivy::schema::Schema;

/// Encodes documents as entries of the embedded index.
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

    /// Returns the schema of an index for the entries.
    #[must_use]
    pub fn schema(&self) -> Schema {
        self.schema.clone()
    }

    /// Encodes one document as entries that must be added as one block; a delete has none.
    ///
    /// # Errors
    /// The schema has no such resource, or the body is not JSON.
    pub fn of(&self, delivery: &Delivery) -> Result<Vec<TantivyDocument>, EntryError> {
        let Delivery { key, version, content, .. } = delivery;
        let Content::Document(body) = content else { return Ok(Vec::new()) };
        document_block(&self.layout, &self.keys, &self.model, key, *version, body)
    }
}
