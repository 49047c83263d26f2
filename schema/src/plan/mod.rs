//! The compiled mapping: everything that the running system needs to know about a resource type, as plain data.
//!
//! A [`Mapping`] is built once at start ([`compile`]) and shared behind an `Arc`. It holds no closure and no handle, so
//! it can be written to a file and read back. Names in it are final: quoted for PostgreSQL, and shortened where needed.

mod body;
mod compile;
mod identity;
mod query;
mod table;

pub use body::{Array, Extension, ExtensionProject, Item, Member, Node, Object};
pub use compile::compile;
pub use identity::{IdentityElement, IdentityPlan, IdentitySource, Superclass};
pub use query::{QueryField, QueryFilter, QueryKind, QueryPath};
pub use table::{ColumnPlan, ColumnType, TablePlan, TableRole};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Index of a resource in [`Mapping::resources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceIx(pub u32);

/// `dms.ResourceKey.ResourceKeyId`: the compact number of a resource type within one effective schema.
pub type ResourceKeyId = i16;

/// The compiled form of one effective schema.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mapping {
    /// Fingerprint of the effective schema, 64 lower-case hex digits (docs/design/edfi-schema.md#edfi-3.1).
    pub effective_schema_hash: String,
    /// Every concrete resource: descriptors and school years too, resource extensions not (they are merged into their base).
    /// Ordered by resource key.
    pub resources: Vec<ResourcePlan>,
    /// Abstract resources, ordered by resource key.
    pub abstracts: Vec<AbstractPlan>,
    /// Lower-case project endpoint → lower-case resource endpoint → resource.
    pub routes: BTreeMap<String, BTreeMap<String, ResourceIx>>,
    /// Resources in an order in which every type comes after all types that its identity depends on.
    pub identity_order: Vec<ResourceIx>,
}

/// An abstract resource (no endpoint, no table): a name under which subtypes are referred to.
#[derive(Debug, Serialize, Deserialize)]
pub struct AbstractPlan {
    /// Its resource key.
    pub key: ResourceKeyId,
    /// MetaEd project name, as hashed into referential ids.
    pub project_name: String,
    /// Resource name, as hashed into referential ids.
    pub resource_name: String,
    /// Identity paths, in hash order.
    pub identity_json_paths: Vec<String>,
    /// Concrete subtypes, ordered by resource name.
    pub subtypes: Vec<ResourceIx>,
    /// Quoted name of the union view over the subtypes.
    pub view: String,
}

/// Value columns of `dms.Descriptor`, in the order of its [`TablePlan::columns`].
pub const DESCRIPTOR_COLUMNS: [&str; 9] = [
    "Namespace",
    "CodeValue",
    "ShortDescription",
    "Description",
    "EffectiveBeginDate",
    "EffectiveEndDate",
    "Uri",
    "UriLower",
    "ResourceKeyId",
];

/// One concrete resource type.
#[derive(Debug, Serialize, Deserialize)]
pub struct ResourcePlan {
    /// Its resource key.
    pub key: ResourceKeyId,
    /// MetaEd project name (`Ed-Fi`), as hashed into referential ids.
    pub project_name: String,
    /// Resource name (`School`), as hashed into referential ids.
    pub resource_name: String,
    /// Version of the project.
    pub resource_version: String,
    /// URL segment of the project (`ed-fi`).
    pub project_endpoint: String,
    /// URL segment of the resource (`schools`), in its proper case.
    pub endpoint: String,
    /// Descriptors live in `dms.Descriptor`: they have no tables of their own and no references.
    pub is_descriptor: bool,
    /// A PUT may change identity values.
    pub allow_identity_updates: bool,
    /// Its identity can change, directly or because it contains one that can (docs/design/rules.md#rule-1).
    pub changeable: bool,
    /// What identifies a document of this type.
    pub identity: IdentityPlan,
    /// The JSON body: what to read, and in which order to write it out.
    pub body: Object,
    /// Tables in dependency order, root first, parents before children. A descriptor type has one, `dms.Descriptor`,
    /// with the columns of [`DESCRIPTOR_COLUMNS`]: the last three are no body members, the writer fills them.
    pub tables: Vec<TablePlan>,
    /// Every place of the body that refers to another document.
    pub references: Vec<ReferenceSite>,
    /// Every place of the body that holds a descriptor URI.
    pub descriptors: Vec<DescriptorSite>,
    /// JSON schema of the merged body (base + extensions), for validation after coercion and pruning.
    pub json_schema: serde_json::Value,
    /// Pairs of paths that must hold equal values in one body.
    pub equality_constraints: Vec<EqualityConstraint>,
    /// Tuples that must be unique among the items of an array.
    pub array_uniqueness: Vec<ArrayUniqueness>,
    /// Query fields by lower-case name.
    pub query_fields: BTreeMap<String, QueryField>,
}

/// A place in a body that refers to another document: one foreign key column.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReferenceSite {
    /// Path of the reference object, `[*]` where it lies in a collection: `$.classPeriods[*].classPeriodReference`.
    pub path: String,
    /// Table that holds the column, as index into [`ResourcePlan::tables`].
    pub table: usize,
    /// The `…_DocumentId` column, as index into [`TablePlan::columns`].
    pub column: usize,
    /// Key of the target: a concrete resource, or an abstract one (then the target is found by its superclass id).
    pub target_key: ResourceKeyId,
    /// Target's project name, as hashed.
    pub target_project: String,
    /// Target's resource name, as hashed.
    pub target_resource: String,
    /// The target's type is abstract.
    pub target_abstract: bool,
    /// The target's identity can change.
    pub target_changeable: bool,
    /// Some member of it belongs to the identity of this resource (docs/design/rules.md#rule-14).
    pub is_identity_component: bool,
    /// The reference object itself is required wherever the row exists.
    pub required: bool,
    /// Elements to hash, in the target's identity order: (path in the target, index into `members`).
    pub elements: Vec<(String, usize)>,
    /// Members of the reference object, in output order (without repeats).
    pub members: Vec<ReferenceMember>,
}

/// One member of a reference object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReferenceMember {
    /// Name in this body: the leaf of `referenceJsonPath`.
    pub name: String,
    /// Position of its value in the target's `IdentityValues`
    /// (docs/design/rules.md#rule-15). Where several positions share this member, the first.
    pub position: usize,
    /// How the value is written in JSON and canonicalised for hashing.
    pub ty: ColumnType,
    /// The URI of a descriptor: its value is lower-cased for hashing, and compared without regard to case.
    pub lower_case: bool,
}

/// A place in a body that holds a descriptor URI: one foreign key column to `dms.Descriptor`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DescriptorSite {
    /// Path of the string, `[*]` where it lies in a collection.
    pub path: String,
    /// Table that holds the column, as index into [`ResourcePlan::tables`].
    pub table: usize,
    /// The `…_DescriptorId` column, as index into [`TablePlan::columns`].
    pub column: usize,
    /// Key of the descriptor type.
    pub target_key: ResourceKeyId,
    /// Descriptor type's project name, as hashed.
    pub target_project: String,
    /// Descriptor type's resource name, as hashed.
    pub target_resource: String,
}

/// Values at both paths must be equal in one body. Paths may contain `[*]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EqualityConstraint {
    /// First path.
    pub source: String,
    /// Second path.
    pub target: String,
}

/// A tuple of values must be unique among the items of one array (within one parent item).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArrayUniqueness {
    /// Path of the array's items, ending in `[*]`; may contain further `[*]` before: uniqueness is per parent item.
    pub items: String,
    /// Member paths below an item, each a list of segments (objects on the way; no arrays).
    pub members: Vec<Vec<String>>,
}

impl Mapping {
    /// The resource of an index.
    pub fn resource(&self, ix: ResourceIx) -> &ResourcePlan {
        &self.resources[ix.0 as usize]
    }

    /// Finds a resource by the two URL segments, ignoring case. Abstract types and resource extensions have none.
    pub fn route(&self, project_endpoint: &str, endpoint: &str) -> Option<ResourceIx> {
        self.routes.get(&project_endpoint.to_ascii_lowercase())?.get(&endpoint.to_ascii_lowercase()).copied()
    }

    /// Finds a resource by its key (resources are ordered by key). `None` for abstract types and unknown keys.
    pub fn by_key(&self, key: ResourceKeyId) -> Option<ResourceIx> {
        let at = self.resources.binary_search_by_key(&key, |r| r.key).ok()?;
        Some(ResourceIx(at as u32))
    }

    /// Finds an abstract resource by its key.
    pub fn abstract_by_key(&self, key: ResourceKeyId) -> Option<&AbstractPlan> {
        self.abstracts.iter().find(|a| a.key == key)
    }

    /// All resources with their indexes, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (ResourceIx, &ResourcePlan)> {
        self.resources.iter().enumerate().map(|(i, r)| (ResourceIx(i as u32), r))
    }
}
