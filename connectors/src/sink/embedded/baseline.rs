//! What documents are in the index, without the sink around it.
//!
//! For measuring: a bare writer of tantivy that adds these entries does the least that any sink with this index has to do.

use super::encoding::Keys;
use super::entry::block;
use super::layout::Layout;
use millstream_pipeline::sink::{Content, Delivery};
use millstream_search::SearchModel;
use std::sync::Arc;
use tantivy::TantivyDocument;
use tantivy::schema::Schema;

/// Makes the entries that the embedded index holds of documents.
#[derive(Debug)]
pub struct BareEntries {
    model: Arc<SearchModel>,
    keys: Keys,
    layout: Layout,
    schema: Schema,
}

impl BareEntries {
    /// For the types of a schema.
    #[must_use]
    pub fn new(model: Arc<SearchModel>) -> Self {
        let (schema, layout) = Layout::new();
        Self { keys: Keys::of(&model), model, layout, schema }
    }

    /// The fields of an index that takes them.
    #[must_use]
    pub fn schema(&self) -> Schema {
        self.schema.clone()
    }

    /// The entries of one document, which have to stay together; none of a delete.
    ///
    /// # Errors
    /// In words, when the schema has no such type or the body is no JSON.
    pub fn of(&self, delivery: &Delivery) -> Result<Vec<TantivyDocument>, String> {
        let Delivery { key, version, content, .. } = delivery;
        let Content::Document(body) = content else { return Ok(Vec::new()) };
        let resource = self.model.by_key(key.resource_key);
        let resource = resource.ok_or_else(|| format!("the schema has no type with the key {}", key.resource_key))?;
        block(&self.layout, &self.keys, resource, key.uuid, *version, body)
            .map_err(|error| format!("the body is no JSON: {error}"))
    }
}
