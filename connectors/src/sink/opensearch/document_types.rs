//! The types of documents, and which index each goes to.

use std::collections::{BTreeMap, HashMap};

use millstream_search::{SearchModel, SearchResource};

use super::mapping::IndexMapping;
use super::names::{self, DESCRIPTORS};
use super::options::OptionsError;

/// All types of one schema, with the indexes that hold them.
#[derive(Debug)]
pub(super) struct Types {
    by_key: HashMap<i16, DocumentType>,
    /// By [`DocumentType::resource_json`].
    keys: HashMap<String, i16>,
    indexes: BTreeMap<String, IndexMapping>,
}

/// One type of documents.
#[derive(Debug)]
pub(super) struct DocumentType {
    /// `"ed-fi/students"`, with the quotes: what the member `resource` of its documents is.
    pub(super) resource_json: String,
    /// Of its index.
    pub(super) stem: String,
}

impl Types {
    /// # Errors
    /// When two types would share an index that are not both descriptors.
    pub(super) fn of(model: &SearchModel) -> Result<Self, OptionsError> {
        let mut faults = Vec::new();
        let mut by_key = HashMap::new();
        let mut indexes: BTreeMap<String, IndexMapping> = BTreeMap::new();
        let descriptors: Vec<&SearchResource> =
            model.iter().map(AsRef::as_ref).filter(|resource| resource.is_descriptor).collect();
        // Made with every generation, whether there are descriptors or not.
        indexes.insert(DESCRIPTORS.to_owned(), IndexMapping::of(&descriptors));
        for resource in model.iter() {
            let stem = stem(resource);
            if !resource.is_descriptor && indexes.insert(stem.clone(), IndexMapping::of(&[resource])).is_some() {
                faults.push(format!("two types of the schema would share the index {stem}: rename one of them"));
            }
            let resource_json = serde_json::Value::from(resource_name(resource)).to_string();
            by_key.insert(resource.key, DocumentType { resource_json, stem });
        }
        let keys = by_key.iter().map(|(key, ty): (&i16, &DocumentType)| (ty.resource_json.clone(), *key)).collect();
        if faults.is_empty() { Ok(Self { by_key, keys, indexes }) } else { Err(OptionsError { faults }) }
    }

    /// A type by its key; `None` for a key that no concrete type has.
    pub(super) fn get(&self, key: i16) -> Option<&DocumentType> {
        self.by_key.get(&key)
    }

    /// The key of the type that a document says it is of, with the quotes.
    pub(super) fn key(&self, resource_json: &str) -> Option<i16> {
        self.keys.get(resource_json).copied()
    }

    /// Stems of all indexes that there may be.
    pub(super) fn stems(&self) -> impl Iterator<Item = &str> {
        self.indexes.keys().map(String::as_str)
    }

    /// The mapping of an index by its stem; `None` for one that this schema has no use for.
    pub(super) fn mapping(&self, stem: &str) -> Option<&IndexMapping> {
        self.indexes.get(stem)
    }
}

/// What the member `resource` of a document is.
pub(super) fn resource_name(resource: &SearchResource) -> String {
    format!("{}/{}", resource.project_endpoint, resource.endpoint)
}

/// The stem of the index of a type.
pub(super) fn stem(resource: &SearchResource) -> String {
    if resource.is_descriptor {
        DESCRIPTORS.to_owned()
    } else {
        names::stem(&resource.project_endpoint, &resource.endpoint)
    }
}
