//! The resources of a schema and their indexes.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millstream_search::text::nfc;
use millstream_search::{SearchModel, SearchResource, extract};

use super::mapping::IndexMapping;
use super::names::{self, DESCRIPTORS};
use super::options::OpenSearchOptionsError;

/// All resources of one schema, with the indexes that hold their documents.
#[derive(Debug)]
pub(super) struct DocumentTypes {
    by_key: HashMap<i16, DocumentType>,
    /// Resource keys by [`DocumentType::resource_json`].
    keys: HashMap<String, i16>,
    /// Mappings by the stem of their index.
    indexes: BTreeMap<String, IndexMapping>,
}

/// One resource and the index of its documents.
#[derive(Debug)]
pub(super) struct DocumentType {
    /// The member `resource` of its documents as JSON: `"ed-fi/students"`, with the quotes.
    pub(super) resource_json: String,
    /// Stem of its index's name: `ed-fi.students`, the part after prefix and generation.
    pub(super) stem: String,
    /// The searchable fields of the resource.
    resource: Arc<SearchResource>,
}

impl DocumentType {
    /// Returns the texts of a document in NFC, as a JSON array, if it has a text in another form. They are indexed beside
    /// the document, whose bytes stay as they were sent.
    pub(super) fn composed_texts(&self, json: &[u8]) -> Option<String> {
        if json.is_ascii() && !json.windows(2).any(|pair| pair == b"\\u") {
            return None;
        }
        let body = serde_json::from_slice(json).ok()?;
        let texts = extract(&self.resource, &body).texts;
        if texts.iter().all(|text| matches!(nfc(text), Cow::Borrowed(_))) {
            return None;
        }
        let composed: Vec<Cow<'_, str>> = texts.iter().map(|text| nfc(text)).collect();
        serde_json::to_string(&composed).ok()
    }
}

impl DocumentTypes {
    /// Derives the indexes of a schema.
    ///
    /// # Errors
    /// A resource that is not a descriptor would share its index with another resource.
    pub(super) fn of(model: &SearchModel) -> Result<Self, OpenSearchOptionsError> {
        let mut faults = Vec::new();
        let mut by_key = HashMap::new();
        let mut indexes: BTreeMap<String, IndexMapping> = BTreeMap::new();
        let descriptors: Vec<&SearchResource> =
            model.iter().map(AsRef::as_ref).filter(|resource| resource.is_descriptor).collect();
        // This index is created with every generation, even if the schema has no descriptors.
        indexes.insert(DESCRIPTORS.to_owned(), IndexMapping::of(&descriptors));
        for resource in model.iter() {
            let stem = stem(resource);
            if !resource.is_descriptor && indexes.insert(stem.clone(), IndexMapping::of(&[resource])).is_some() {
                faults.push(format!("two resources of the schema would share the index {stem}: rename one of them"));
            }
            let resource_json = serde_json::Value::from(resource_name(resource)).to_string();
            by_key.insert(resource.key, DocumentType { resource_json, stem, resource: Arc::clone(resource) });
        }
        let keys = by_key.iter().map(|(key, ty): (&i16, &DocumentType)| (ty.resource_json.clone(), *key)).collect();
        if faults.is_empty() { Ok(Self { by_key, keys, indexes }) } else { Err(OpenSearchOptionsError { faults }) }
    }

    /// Returns a resource by its key; `None` if no concrete resource has it.
    pub(super) fn get(&self, key: i16) -> Option<&DocumentType> {
        self.by_key.get(&key)
    }

    /// Returns the key of the resource with this [`DocumentType::resource_json`].
    pub(super) fn key(&self, resource_json: &str) -> Option<i16> {
        self.keys.get(resource_json).copied()
    }

    /// Returns the stems of all possible indexes.
    pub(super) fn stems(&self) -> impl Iterator<Item = &str> {
        self.indexes.keys().map(String::as_str)
    }

    /// Returns the mapping of an index by its stem; `None` if the schema has no such index.
    pub(super) fn mapping(&self, stem: &str) -> Option<&IndexMapping> {
        self.indexes.get(stem)
    }
}

/// Returns the value of the member `resource` in the documents of a resource.
pub(super) fn resource_name(resource: &SearchResource) -> String {
    format!("{}/{}", resource.project_endpoint, resource.endpoint)
}

/// Returns the stem of the index that holds a resource's documents.
pub(super) fn stem(resource: &SearchResource) -> String {
    if resource.is_descriptor {
        DESCRIPTORS.to_owned()
    } else {
        names::stem(&resource.project_endpoint, &resource.endpoint)
    }
}
