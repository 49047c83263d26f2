//! The body tree: the writer walks it to flatten a JSON body into rows, reads walk it to compose the body from rows.
//!
//! Members are in output order ("compiled path order", docs/design/rules.md#rule-26): references, then descriptors,
//! scalars and inlined objects, then arrays, each group by name, `_ext` last. The order depends on names alone, never
//! on the order of keys in the schema file.

use super::table::ColumnType;
use serde::{Deserialize, Serialize};

/// The members of a JSON object: the body, an inlined object, an item of a collection, or the content of an extension.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Object {
    /// Members in output order.
    pub members: Vec<Member>,
}

/// One member of an object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Member {
    /// JSON name.
    pub name: String,
    /// Kind and place of the value.
    pub node: Node,
}

/// Kind and place of a member. Tables and columns are indexes into `ResourcePlan::tables` and `TablePlan::columns`;
/// references and descriptors into `ResourcePlan::references` and `ResourcePlan::descriptors`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Node {
    /// A value column.
    Scalar {
        /// Table.
        table: usize,
        /// Column.
        column: usize,
        /// Type.
        ty: ColumnType,
    },
    /// A descriptor URI.
    Descriptor {
        /// Index into `ResourcePlan::descriptors`.
        site: usize,
    },
    /// A reference object.
    Reference {
        /// Index into `ResourcePlan::references`.
        site: usize,
    },
    /// An inlined object: its members are columns of the same table. Written only if some member is present.
    Object(Object),
    /// A collection: a child table.
    Array(Array),
    /// `_ext`: one extension table per project. Always the last member.
    Extension(Extension),
}

/// A collection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Array {
    /// The child table: one row per item, `Ordinal` = index.
    pub table: usize,
    /// Kind of the items.
    pub item: Item,
}

/// Kind of the items of a collection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Item {
    /// Objects (the usual case).
    Object(Object),
    /// Values that are no objects: strings, numbers, booleans or descriptor URIs. The node is `Scalar` or `Descriptor`.
    Value(Box<Node>),
}

/// The `_ext` object at one scope.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Extension {
    /// Ordered by endpoint.
    pub projects: Vec<ExtensionProject>,
}

/// One extension project's content at one scope.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtensionProject {
    /// Key under `_ext` on output; on input it also matches ignoring case, or by project name
    /// (docs/design/edfi-model.md#edfi-4.9).
    pub endpoint: String,
    /// MetaEd project name.
    pub project_name: String,
    /// The extension table.
    pub table: usize,
    /// Its members.
    pub object: Object,
}
