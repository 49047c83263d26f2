//! The searchable fields of every resource type.
//!
//! The model is derived from the compiled mapping alone, without code for single types. A field is a scalar of the
//! body; its path is dotted, starts at the top of the body, and does not mark collections (`schoolReference.schoolId`,
//! `addresses.city`, `_ext.sample.isPreferred`).

mod build;
mod types;

pub use types::{
    Collection, CollectionIx, Field, FieldIx, FieldKind, ID, LAST_MODIFIED, MemberKind, SearchResource, Shape,
};

use millstream_schema::plan::{Mapping, ResourceIx, ResourceKeyId};
use std::sync::Arc;

/// The fields of all types of one effective schema.
#[derive(Debug)]
pub struct SearchModel {
    /// Fingerprint of the effective schema.
    pub schema_hash: String,
    resources: Vec<Arc<SearchResource>>,
}

impl SearchModel {
    /// Derives the fields of all types.
    pub fn of(mapping: &Mapping) -> Self {
        let resources = mapping.iter().map(|(ix, plan)| Arc::new(build::resource(ix, plan))).collect();
        Self { schema_hash: mapping.effective_schema_hash.clone(), resources }
    }

    /// Returns a type by its index in the mapping.
    pub fn resource(&self, ix: ResourceIx) -> &Arc<SearchResource> {
        &self.resources[ix.0 as usize]
    }

    /// Finds a type by its key; `None` for a key that does not belong to a concrete type.
    pub fn by_key(&self, key: ResourceKeyId) -> Option<&Arc<SearchResource>> {
        let at = self.resources.binary_search_by_key(&key, |resource| resource.key).ok()?;
        self.resources.get(at)
    }

    /// Iterates over all types, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SearchResource>> {
        self.resources.iter()
    }
}
