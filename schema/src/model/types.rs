//! The types of the relational model.

use crate::mapping::{
    ArrayUniqueness, ColumnType, DescriptorSite, EqualityConstraint, IdentityPlan, Object, ReferenceSite, ResourceIx,
    ResourceKeyId, TableRole,
};
use std::collections::BTreeMap;
use std::fmt;

/// All tables of an effective schema.
#[derive(Debug)]
pub struct Model {
    /// SQL schemas of the projects, ordered.
    pub schemas: Vec<String>,
    /// Concrete resources, ordered by resource key.
    pub resources: Vec<ResourceModel>,
    /// Abstract resources, ordered by resource key.
    pub abstracts: Vec<AbstractModel>,
    /// Resources ordered so that every type comes after all types that its identity depends on.
    pub identity_order: Vec<ResourceIx>,
    /// Oddities that do not prevent the mapping.
    pub warnings: Vec<String>,
}

/// The tables of one concrete resource, and how its body maps to them.
#[derive(Debug)]
pub struct ResourceModel {
    /// Resource key.
    pub key: ResourceKeyId,
    /// MetaEd project name.
    pub project_name: String,
    /// Resource name.
    pub resource_name: String,
    /// Version of the project.
    pub resource_version: String,
    /// URL segment of the project.
    pub project_endpoint: String,
    /// URL segment of the resource.
    pub endpoint: String,
    /// A descriptor type: its one table is `dms.Descriptor`, which is not emitted with it.
    pub is_descriptor: bool,
    /// A PUT may change identity values.
    pub allow_identity_updates: bool,
    /// Its identity can change, directly or through an identity that it contains.
    pub changeable: bool,
    /// The identity of a document.
    pub identity: IdentityPlan,
    /// The body tree.
    pub body: Object,
    /// Tables, root first, parents before children.
    pub tables: Vec<Table>,
    /// References to other documents.
    pub references: Vec<ReferenceSite>,
    /// Descriptor URIs.
    pub descriptors: Vec<DescriptorSite>,
    /// JSON schema of the merged body.
    pub json_schema: serde_json::Value,
    /// Pairs of paths with equal values.
    pub equality_constraints: Vec<EqualityConstraint>,
    /// Tuples unique among the items of an array.
    pub array_uniqueness: Vec<ArrayUniqueness>,
    /// Query field → JSON paths.
    pub query_fields: Vec<(String, Vec<String>)>,
    /// JSON path of every column (references: of their object) → (table, column).
    pub(crate) columns_by_path: BTreeMap<String, (usize, usize)>,
}

/// An abstract resource and the union view over its subtypes.
#[derive(Debug)]
pub struct AbstractModel {
    /// Resource key.
    pub key: ResourceKeyId,
    /// MetaEd project name.
    pub project_name: String,
    /// Resource name.
    pub resource_name: String,
    /// Identity paths in hash order.
    pub identity_json_paths: Vec<String>,
    /// File and JSON path, for messages.
    pub(crate) place: String,
    /// SQL schema of the view.
    pub schema: String,
    /// Name of the view.
    pub view: String,
    /// Identity columns of the view after `DocumentId`, in identity order without repeats.
    pub columns: Vec<ViewColumn>,
    /// Per identity path: its column in `columns`.
    pub column_of_path: Vec<usize>,
    /// Concrete subtypes ordered by resource name, each with the root column that feeds each view column.
    pub subtypes: Vec<(ResourceIx, Vec<usize>)>,
}

/// A column of an abstract view.
#[derive(Debug, Clone)]
pub struct ViewColumn {
    /// Name.
    pub name: String,
    /// Type that all subtypes are cast to.
    pub ty: ColumnType,
}

/// A table.
#[derive(Debug, Clone)]
pub struct Table {
    /// SQL schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Kind of content.
    pub role: TableRole,
    /// JSON scope, for messages: `$`, `$.addresses[*]`, `$.addresses[*]._ext.sample`.
    pub scope: String,
    /// Parent table in the same resource.
    pub parent: Option<usize>,
    /// Key columns: the document id, then ordinals.
    pub key: Vec<String>,
    /// Value columns.
    pub columns: Vec<Column>,
    /// Unique constraints beside the primary key.
    pub uniques: Vec<Unique>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Indexes.
    pub indexes: Vec<Index>,
}

/// A value column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: ColumnType,
    /// Maximum length of a text, in characters.
    pub length_max: Option<u32>,
    /// NOT NULL.
    pub required: bool,
    /// JSON path of the value, for messages.
    pub path: String,
}

/// A unique constraint.
#[derive(Debug, Clone)]
pub struct Unique {
    /// Name.
    pub name: String,
    /// Columns.
    pub columns: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    /// Name.
    pub name: String,
    /// Columns.
    pub columns: Vec<String>,
    /// Target SQL schema.
    pub target_schema: String,
    /// Target table.
    pub target_table: String,
    /// Target columns.
    pub target_columns: Vec<String>,
    /// Deleting the target row deletes the rows (`ON DELETE CASCADE`); otherwise a referenced row cannot be deleted.
    pub cascade: bool,
}

/// An index that does not belong to a constraint.
#[derive(Debug, Clone)]
pub struct Index {
    /// Name.
    pub name: String,
    /// Columns.
    pub columns: Vec<String>,
    /// Equality only: for text too wide for a b-tree entry (docs/design/rules.md#rule-21).
    pub hash: bool,
}

/// Every reason why a schema cannot be mapped to tables, each line with file and JSON path.
#[derive(Debug)]
pub struct ModelErrors(pub Vec<String>);

impl fmt::Display for ModelErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the schema cannot be mapped to tables:")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for ModelErrors {}

impl Model {
    /// Returns all tables of all resources in emission order, without the descriptors' table (`dms.Descriptor`).
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.resources.iter().filter(|r| !r.is_descriptor).flat_map(|r| r.tables.iter())
    }
}
