//! The fields and collections of one resource type.

use millstream_schema::plan::{ResourceIx, ResourceKeyId};
use std::collections::BTreeMap;

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

/// The searchable fields of one type.
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
    /// Every collection of the body, outer ones before inner ones.
    pub collections: Vec<Collection>,
    /// The field that alone identifies a document of the type, if one does: no two documents share its value.
    pub identity: Option<FieldIx>,
    /// The fields as a tree, for walking a document or writing an engine's mapping.
    pub shape: Shape,
    /// Query fields by lower-case name, with their fields. Empty if the schema names a path that does not exist.
    pub(crate) query_fields: BTreeMap<String, Vec<FieldIx>>,
    /// Fields by lower-case path.
    pub(crate) paths: BTreeMap<String, FieldIx>,
}

/// One scalar of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Dotted path.
    pub path: String,
    /// Kind of the values.
    pub kind: FieldKind,
    /// The innermost collection that contains the field; `None`: at most one value per document.
    pub collection: Option<CollectionIx>,
}

/// Kind of a field's values, which decides how they compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// The document's own id: a uuid in lower-case hyphenated form.
    Id,
    /// A string: compared byte for byte.
    Text,
    /// A whole number within `i64`.
    Integer,
    /// A number with a limited number of digits before and after the point.
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
    /// A descriptor URI: compared without regard to case, as a whole or by its code value.
    Descriptor,
}

impl FieldKind {
    /// Returns whether range conditions are possible.
    pub fn is_ordered(self) -> bool {
        !matches!(self, Self::Id | Self::Boolean | Self::Descriptor)
    }

    /// Returns whether free text searches the values: all of a [`FieldKind::Text`], the code value of a
    /// [`FieldKind::Descriptor`].
    pub fn is_analyzed(self) -> bool {
        matches!(self, Self::Text | Self::Descriptor)
    }
}

/// A collection of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Dotted path.
    pub path: String,
    /// The enclosing collection.
    pub parent: Option<CollectionIx>,
}

/// An object of the body: its members, ordered by name.
#[derive(Debug, Default)]
pub struct Shape {
    members: Vec<(String, MemberKind)>,
}

/// Kind and place of a member of an object.
#[derive(Debug)]
pub enum MemberKind {
    /// A scalar.
    Field(FieldIx),
    /// An object: a reference, an inlined object, `_ext` or the content of one extension.
    Object(Shape),
    /// A collection, with the kind of its elements: objects, or bare scalars.
    Collection(CollectionIx, Box<MemberKind>),
}

impl SearchResource {
    /// Returns a field.
    pub fn field(&self, ix: FieldIx) -> &Field {
        &self.fields[usize::from(ix.0)]
    }

    /// Returns a collection.
    pub fn collection(&self, ix: CollectionIx) -> &Collection {
        &self.collections[usize::from(ix.0)]
    }

    /// Iterates over all fields with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (FieldIx, &Field)> {
        (0..).map(FieldIx).zip(&self.fields)
    }

    /// Finds the field at a path, ignoring case.
    pub fn at_path(&self, path: &str) -> Option<FieldIx> {
        self.paths.get(&path.to_ascii_lowercase()).copied()
    }

    /// Resolves a name, ignoring case, to the fields of a query field, else to the field at this path. Returns an empty
    /// list if the schema names a path for the query field that the type does not have, and `None` for an unknown name.
    pub fn named(&self, name: &str) -> Option<Vec<FieldIx>> {
        let fields = self.query_fields.get(&name.to_ascii_lowercase()).cloned();
        fields.or_else(|| Some(vec![self.at_path(name)?]))
    }
}

impl Shape {
    pub(super) fn new(mut members: Vec<(String, MemberKind)>) -> Self {
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { members }
    }

    /// Finds a member by name.
    pub fn get(&self, name: &str) -> Option<&MemberKind> {
        let at = self.members.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.members.get(at).map(|(_, place)| place)
    }

    /// Iterates over all members, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MemberKind)> {
        self.members.iter().map(|(name, place)| (name.as_str(), place))
    }
}
