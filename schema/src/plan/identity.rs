//! What identifies a document, and where its values come from.

use super::{ColumnType, ResourceKeyId};
use serde::{Deserialize, Serialize};

/// Identity of a resource type: its elements in `identityJsonPaths` order, which is hash order and the order of
/// `dms.ReferentialIdentity.IdentityValues`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentityPlan {
    /// Elements in hash order. For descriptors: the one element `$.descriptor`, the URI.
    pub elements: Vec<IdentityElement>,
    /// The type that a document of this one also is, under which it has a second referential id.
    pub superclass: Option<Superclass>,
}

/// One element of an identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentityElement {
    /// Path in the body, as hashed.
    pub path: String,
    /// How the value is written in JSON and canonicalised.
    pub ty: ColumnType,
    /// The URI of a descriptor (by its mapping, through references too, or by a path that ends in `Descriptor`): its value
    /// is lower-cased for hashing only; `IdentityValues` keeps the casing.
    pub lower_case: bool,
    /// Where the value is stored.
    pub source: IdentitySource,
}

/// Where an identity element's value is stored.
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
    /// Paths to hash, one for each element of the subclass, in the same order.
    pub paths: Vec<String>,
}
