//! The body tree: one walk of it flattens a JSON body into rows, another composes the body from rows.
//!
//! Members stand in output order ("compiled path order",
//! docs/design/rules.md#rule-26): references, then descriptors, scalars and
//! inlined objects, then arrays, each group by name, `_ext` last. The order depends on names alone, never on the order
//! of keys in the schema file.

use super::ColumnType;
use serde::{Deserialize, Serialize};

/// A JSON object that is not a row of its own: the body, an inlined object, or an item of a collection.
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
    /// What is there.
    pub node: Node,
}

/// What a member is. Tables and columns are indexes into `ResourcePlan::tables` and `TablePlan::columns`; references
/// and descriptors into `ResourcePlan::references` and `ResourcePlan::descriptors`.
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
    /// `_ext`: one extension table a project. Always the last member.
    Extension(Extension),
}

/// A collection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Array {
    /// The child table; one row an item, `Ordinal` = index.
    pub table: usize,
    /// What an item is.
    pub item: Item,
}

/// What the items of a collection are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Item {
    /// Objects (the usual case).
    Object(Object),
    /// Bare values: strings, numbers, booleans or descriptor URIs. The node is `Scalar` or `Descriptor`.
    Bare(Box<Node>),
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
