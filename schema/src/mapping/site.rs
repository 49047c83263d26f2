//! Sites of a body: references, descriptors, and the constraints between paths.

use super::key::ResourceKeyId;
use super::table::ColumnType;
use serde::{Deserialize, Serialize};

/// A reference to another document: one foreign key column.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReferenceSite {
    /// Path of the reference object, with `[*]` in a collection: `$.classPeriods[*].classPeriodReference`.
    pub path: String,
    /// Table that holds the column, as index into [`ResourcePlan::tables`](super::ResourcePlan::tables).
    pub table: usize,
    /// The `…_DocumentId` column, as index into [`TablePlan::columns`](super::TablePlan::columns).
    pub column: usize,
    /// Key of the target type, concrete or abstract. An abstract target is found by its superclass id.
    pub target_key: ResourceKeyId,
    /// Target's project name, as hashed.
    pub target_project: String,
    /// Target's resource name, as hashed.
    pub target_resource: String,
    /// The target's type is abstract.
    pub target_abstract: bool,
    /// The target's identity can change.
    pub target_changeable: bool,
    /// At least one member belongs to the identity of this resource (docs/design/rules.md#rule-14).
    pub is_identity_component: bool,
    /// The reference object itself is required wherever the row exists.
    pub required: bool,
    /// Elements to hash, in the target's identity order: (path in the target, index into `members`).
    pub elements: Vec<(String, usize)>,
    /// Members of the reference object, in output order, without repeats.
    pub members: Vec<ReferenceMember>,
}

/// One member of a reference object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReferenceMember {
    /// Name in this body: the leaf of `referenceJsonPath`.
    pub name: String,
    /// Position of its value in the target's `IdentityValues` (docs/design/rules.md#rule-15); the first if several
    /// positions share this member.
    pub position: usize,
    /// Type of the value, which decides its JSON form and its canonical form for hashing.
    pub ty: ColumnType,
    /// The value is a descriptor URI: lower-cased for hashing, compared without regard to case.
    pub lower_case: bool,
}

/// A descriptor URI in a body: one foreign key column to `dms.Descriptor`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DescriptorSite {
    /// Path of the string, with `[*]` in a collection.
    pub path: String,
    /// Table that holds the column, as index into [`ResourcePlan::tables`](super::ResourcePlan::tables).
    pub table: usize,
    /// The `…_DescriptorId` column, as index into [`TablePlan::columns`](super::TablePlan::columns).
    pub column: usize,
    /// Key of the descriptor type.
    pub target_key: ResourceKeyId,
    /// Descriptor type's project name, as hashed.
    pub target_project: String,
    /// Descriptor type's resource name, as hashed.
    pub target_resource: String,
}

/// Requires equal values at two paths of one body. Paths may contain `[*]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EqualityConstraint {
    /// First path.
    pub source: String,
    /// Second path.
    pub target: String,
}

/// Requires a tuple of values to be unique among the items of one array, within one parent item.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArrayUniqueness {
    /// Path of the array's items, ending in `[*]`. Further `[*]` before it make the tuple unique per parent item.
    pub items: String,
    /// Member paths below an item, each a list of segments through objects, without arrays.
    pub members: Vec<Vec<String>>,
}
