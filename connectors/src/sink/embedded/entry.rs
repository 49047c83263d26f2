//! Encoding of a document as a block of index entries.

use super::encoding::{ModelKeys, NameDigest, ResourceKeys, TOMBSTONE, encode};
use super::layout::{Layout, member};
use millstream_pipeline::sink::DocumentKey;
use millstream_search::{Element, SearchModel, SearchResource, extract, text};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tantivy::TantivyDocument;
use tantivy::schema::OwnedValue;
use tantivy::tokenizer::{PreTokenizedString, Token};
use uuid::Uuid;

/// A document that cannot be indexed.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The schema has no resource with this key.
    #[error("the schema has no resource with the key {0}")]
    UnknownResource(i16),
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Retention of tombstones, which hold the versions of deleted documents.
pub const DELETE_MEMORY: Duration = Duration::from_secs(24 * 3_600);

/// Encodes a document into its block of entries, with the document itself last.
pub(super) fn document_block(
    layout: &Layout,
    keys: &ModelKeys,
    model: &SearchModel,
    key: &DocumentKey,
    version: i64,
    body: &[u8],
) -> Result<Vec<TantivyDocument>, EntryError> {
    let resource = model.by_key(key.resource_key).ok_or(EntryError::UnknownResource(key.resource_key))?;
    let uuid = key.uuid;
    let json: serde_json::Value = serde_json::from_slice(body)?;
    let extracted = extract(resource, &json);
    let keys = keys.of_resource(resource);
    let mut builder = BlockBuilder { layout, keys, resource, uuid, entries: Vec::new(), columns: BTreeMap::new() };
    let mut document = builder.element(keys.document, &extracted.root);
    document.add_bytes(layout.id, uuid.as_bytes());
    document.add_i64(layout.version, version);
    document.add_bytes(layout.body, body);
    document.add_pre_tokenized_text(layout.text, tokens(&extracted.texts));
    let columns = builder
        .columns
        .into_iter()
        .map(|(path, values)| (member(path), OwnedValue::Array(values.into_iter().map(OwnedValue::Str).collect())));
    document.add_object(layout.values, columns.collect());
    builder.entries.push(document);
    Ok(builder.entries)
}

/// Returns the single entry of a deleted document.
pub(super) fn tombstone(layout: &Layout, uuid: Uuid, version: i64, deleted_at_s: u64) -> TantivyDocument {
    let mut entry = TantivyDocument::default();
    entry.add_bytes(layout.block, uuid.as_bytes());
    entry.add_bytes(layout.kind, &TOMBSTONE);
    entry.add_bytes(layout.id, uuid.as_bytes());
    entry.add_i64(layout.version, version);
    entry.add_u64(layout.deleted_at_s, deleted_at_s);
    entry
}

/// Returns the seconds since 1970.
pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

struct BlockBuilder<'a> {
    layout: &'a Layout,
    keys: &'a ResourceKeys,
    resource: &'a SearchResource,
    uuid: Uuid,
    entries: Vec<TantivyDocument>,
    /// Distinct values of the whole document by path.
    columns: BTreeMap<&'a str, BTreeSet<String>>,
}

impl BlockBuilder<'_> {
    /// Adds the entries of all inner elements, and returns the entry of the element itself.
    fn element(&mut self, kind: NameDigest, element: &Element) -> TantivyDocument {
        for (collection, inner) in &element.inner {
            let entry = self.element(self.keys.level(Some(*collection)), inner);
            self.entries.push(entry);
        }
        let mut entry = TantivyDocument::default();
        entry.add_bytes(self.layout.block, self.uuid.as_bytes());
        entry.add_bytes(self.layout.kind, &kind);
        for (field, value) in &element.values {
            for term in self.keys.terms(self.resource, *field, value) {
                entry.add_bytes(self.layout.exact, &term);
            }
            self.columns.entry(&self.resource.field(*field).path).or_default().insert(encode(value));
        }
        entry
    }
}

/// Returns all terms of a document as one text. Queries do not use positions.
fn tokens(texts: &[String]) -> PreTokenizedString {
    let terms = texts.iter().flat_map(|text| text::terms(text));
    let tokens =
        terms.enumerate().map(|(position, text)| Token { position, text, position_length: 1, ..Token::default() });
    PreTokenizedString { text: String::new(), tokens: tokens.collect() }
}
