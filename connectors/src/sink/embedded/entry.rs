//! From a document to the block of entries that it is in the index.

use super::encoding::{Key, Keys, TOMBSTONE, TypeKeys, encode};
use super::layout::{Layout, member};
use millstream_search::text;
use millstream_search::{Element, SearchResource, extract};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};
use tantivy::TantivyDocument;
use tantivy::schema::OwnedValue;
use tantivy::tokenizer::{PreTokenizedString, Token};
use uuid::Uuid;

/// The entries of a document, the document itself last.
///
/// # Errors
/// If the body is no JSON.
pub(super) fn block(
    layout: &Layout,
    keys: &Keys,
    resource: &SearchResource,
    uuid: Uuid,
    version: i64,
    body: &[u8],
) -> Result<Vec<TantivyDocument>, serde_json::Error> {
    let json: serde_json::Value = serde_json::from_slice(body)?;
    let extracted = extract(resource, &json);
    let keys = keys.of_type(resource);
    let mut builder = Builder { layout, keys, resource, uuid, entries: Vec::new(), columns: BTreeMap::new() };
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

/// The one entry of a deleted document.
pub(super) fn tombstone(layout: &Layout, uuid: Uuid, version: i64, deleted_at_s: u64) -> TantivyDocument {
    let mut entry = TantivyDocument::default();
    entry.add_bytes(layout.block, uuid.as_bytes());
    entry.add_bytes(layout.kind, &TOMBSTONE);
    entry.add_bytes(layout.id, uuid.as_bytes());
    entry.add_i64(layout.version, version);
    entry.add_u64(layout.deleted_at_s, deleted_at_s);
    entry
}

/// Seconds since 1970.
pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

struct Builder<'a> {
    layout: &'a Layout,
    keys: &'a TypeKeys,
    resource: &'a SearchResource,
    uuid: Uuid,
    entries: Vec<TantivyDocument>,
    /// Values of the whole document by path, each once.
    columns: BTreeMap<&'a str, BTreeSet<String>>,
}

impl Builder<'_> {
    /// Adds the entries of everything within, and gives that of the element itself.
    fn element(&mut self, kind: Key, element: &Element) -> TantivyDocument {
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

/// All terms of a document as one text. Where a term stands is not asked for.
fn tokens(texts: &[String]) -> PreTokenizedString {
    let terms = texts.iter().flat_map(|text| text::terms(text));
    let tokens =
        terms.enumerate().map(|(position, text)| Token { position, text, position_length: 1, ..Token::default() });
    PreTokenizedString { text: String::new(), tokens: tokens.collect() }
}
