//! The fields of every resource type that a search can ask for.
//!
//! Derived from the compiled mapping alone: nothing here is written for a single type. A field is a scalar place of the
//! body; its path is dotted, from the body's top, without a mark where it passes through a collection
//! (`schoolReference.schoolId`, `addresses.city`, `_ext.sample.isPreferred`).

mod build;

use millstream_schema::plan::{Mapping, ResourceIx, ResourceKeyId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Index of a field in [`SearchResource::fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldIx(pub u16);

/// Index of a collection in [`SearchResource::collections`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionIx(pub u16);

/// The field `id` of every type.
pub const ID: FieldIx = FieldIx(0);

/// The field `_lastModifiedDate` of every type.
pub const LAST_MODIFIED: FieldIx = FieldIx(1);

/// The fields of all types of one effective schema.
#[derive(Debug)]
pub struct SearchModel {
    /// Fingerprint of the effective schema that it was derived from.
    pub schema_hash: String,
    resources: Vec<Arc<SearchResource>>,
}

/// What can be searched in the documents of one type.
#[derive(Debug)]
pub struct SearchResource {
    /// Index in the mapping.
    pub ix: ResourceIx,
    /// Resource key.
    pub key: ResourceKeyId,
    /// URL segment of the project.
    pub project_endpoint: String,
    /// URL segment of the resource, in its proper case.
    pub endpoint: String,
    /// A descriptor type.
    pub is_descriptor: bool,
    /// [`ID`], [`LAST_MODIFIED`], then every scalar of the body in its order.
    pub fields: Vec<Field>,
    /// Every collection of the body, outer ones before those within.
    pub collections: Vec<Collection>,
    /// The body again as a tree, for walking a document or writing an engine's mapping.
    pub shape: Shape,
    /// Query fields by lower-case name, as places. None: the schema names a place that does not exist.
    pub(crate) query_fields: BTreeMap<String, Vec<FieldIx>>,
    /// Fields by lower-case path.
    pub(crate) paths: BTreeMap<String, FieldIx>,
}

/// One scalar place of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Dotted path.
    pub path: String,
    /// What stands there.
    pub kind: FieldKind,
    /// The innermost collection that it lies in; `None`: at most one value a document.
    pub collection: Option<CollectionIx>,
}

/// What values of a field are, and how they compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// The document's own id: a uuid in lower-case hyphenated form.
    Id,
    /// A string: compared byte for byte.
    Text,
    /// A whole number within `i64`.
    Integer,
    /// A number of at most so many digits, of which so many stand after the point.
    Decimal {
        /// Digits in all.
        precision: u16,
        /// Digits after the point.
        scale: u16,
    },
    /// `true` or `false`.
    Boolean,
    /// `yyyy-MM-dd`.
    Date,
    /// `HH:mm:ss`.
    Time,
    /// `yyyy-MM-ddTHH:mm:ssZ`.
    DateTime,
    /// The URI of a descriptor: compared without regard to case, whole or by its code value.
    Descriptor,
}

impl FieldKind {
    /// Its values have an order that a range can be asked in.
    pub fn is_ordered(self) -> bool {
        !matches!(self, Self::Id | Self::Boolean | Self::Descriptor)
    }

    /// Its words are found by free text: all of a [`FieldKind::Text`], the code value of a [`FieldKind::Descriptor`].
    pub fn is_analyzed(self) -> bool {
        matches!(self, Self::Text | Self::Descriptor)
    }
}

/// A collection of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Dotted path.
    pub path: String,
    /// The collection that it lies in.
    pub parent: Option<CollectionIx>,
}

/// An object of the body: its members, ordered by name.
#[derive(Debug, Default)]
pub struct Shape {
    members: Vec<(String, Place)>,
}

/// What a member of an object is.
#[derive(Debug)]
pub enum Place {
    /// A scalar.
    Field(FieldIx),
    /// An object: a reference, an inlined object, `_ext` or the content of one extension.
    Object(Shape),
    /// A collection, and what its elements are: objects, or bare scalars.
    Collection(CollectionIx, Box<Place>),
}

impl SearchModel {
    /// Derives the fields of all types.
    pub fn of(mapping: &Mapping) -> Self {
        let resources = mapping.iter().map(|(ix, plan)| Arc::new(build::resource(ix, plan))).collect();
        Self { schema_hash: mapping.effective_schema_hash.clone(), resources }
    }

    /// A type by its index in the mapping.
    pub fn resource(&self, ix: ResourceIx) -> &Arc<SearchResource> {
        &self.resources[ix.0 as usize]
    }

    /// A type by its key; `None` for a key that no concrete type has.
    pub fn by_key(&self, key: ResourceKeyId) -> Option<&Arc<SearchResource>> {
        let at = self.resources.binary_search_by_key(&key, |resource| resource.key).ok()?;
        self.resources.get(at)
    }

    /// All types, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SearchResource>> {
        self.resources.iter()
    }
}

impl SearchResource {
    /// A field.
    pub fn field(&self, ix: FieldIx) -> &Field {
        &self.fields[usize::from(ix.0)]
    }

    /// A collection.
    pub fn collection(&self, ix: CollectionIx) -> &Collection {
        &self.collections[usize::from(ix.0)]
    }

    /// All fields with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (FieldIx, &Field)> {
        (0..).map(FieldIx).zip(&self.fields)
    }

    /// The field at a path, ignoring case.
    pub fn at_path(&self, path: &str) -> Option<FieldIx> {
        self.paths.get(&path.to_ascii_lowercase()).copied()
    }

    /// The places that a name stands for, ignoring case: those of a query field, else the one at this path. Empty: the
    /// schema names a place for the query field that the type does not have.
    pub fn named(&self, name: &str) -> Option<Vec<FieldIx>> {
        let places = self.query_fields.get(&name.to_ascii_lowercase()).cloned();
        places.or_else(|| Some(vec![self.at_path(name)?]))
    }
}

impl Shape {
    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Place> {
        let at = self.members.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.members.get(at).map(|(_, place)| place)
    }

    /// All members, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.members.iter().map(|(name, place)| (name.as_str(), place))
    }
}
