//! The identity of a document and the storage of its values.

use super::key::ResourceKeyId;
use super::table::ColumnType;
use serde::{Deserialize, Serialize};

/// Identity of a resource type: its elements in `identityJsonPaths` order, which is hash order and the order of
/// `dms.ReferentialIdentity.IdentityValues`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentityPlan {
    /// Elements in hash order. For descriptors: the one element `$.descriptor`, the URI.
    pub elements: Vec<IdentityElement>,
    /// The supertype, under which each document has a second referential id.
    pub superclass: Option<Superclass>,
}

/// One element of an identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentityElement {
    /// Path in the body, as hashed.
    pub path: String,
    /// Type of the value, which decides its JSON form and its canonical form.
    pub ty: ColumnType,
    /// The value is a descriptor URI (by its mapping, also through references, or by a path that ends in `Descriptor`).
    /// It is lower-cased for hashing only; `IdentityValues` keeps the casing.
    pub lower_case: bool,
    /// Storage of the value.
    pub source: IdentitySource,
}

/// Storage of an identity element's value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum IdentitySource {
    /// A value column of the root table (of `dms.Descriptor` for descriptors: the URI).
    Column {
        /// Index into the root table's columns.
        column: usize,
    },
    /// The URI of the descriptor that a root column points to.
    Descriptor {
        /// Index into `ResourcePlan::descriptors`.
        site: usize,
    },
    /// A value of the referenced document's identity.
    Reference {
        /// Index into `ResourcePlan::references`.
        site: usize,
        /// Position in the target's `IdentityValues`.
        position: usize,
    },
}

/// The second referential id of a subclass document (docs/design/edfi-identity.md#edfi-2.6).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Superclass {
    /// Resource key of the abstract type.
    pub key: ResourceKeyId,
    /// Its project name, as hashed.
    pub project_name: String,
    /// Its resource name, as hashed.
    pub resource_name: String,
    /// Paths to hash, one per element of the subclass, in the same order.
    pub paths: Vec<String>,
}
