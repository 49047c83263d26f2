//! The compiled mapping of an effective schema and its resource types.

use super::body::Object;
use super::identity::IdentityPlan;
use super::key::{ResourceIx, ResourceKeyId};
use super::query::QueryField;
use super::site::{ArrayUniqueness, DescriptorSite, EqualityConstraint, ReferenceSite};
use super::table::TablePlan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The compiled form of one effective schema.
///
/// ```
/// use millstream_schema::{apischema, model, plan};
///
/// let schema = apischema::load(&["fixtures/meadow.ApiSchema.json".into()])?;
/// let mapping = plan::compile(&schema, &model::derive(&schema)?);
///
/// let schools = mapping.resource(mapping.route("Meadow", "SCHOOLS").expect("routes ignore case"));
/// assert_eq!(schools.resource_name, "School");
/// assert_eq!(schools.tables[0].qualified, r#""meadow"."School""#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, Deserialize)]
pub struct Mapping {
    /// Fingerprint of the effective schema, 64 lower-case hex digits (docs/design/edfi-schema.md#edfi-3.1).
    pub effective_schema_hash: String,
    /// Every concrete resource, including descriptors and school years, ordered by resource key. Resource extensions
    /// are merged into their base.
    pub resources: Vec<ResourcePlan>,
    /// Abstract resources, ordered by resource key.
    pub abstracts: Vec<AbstractPlan>,
    /// Lower-case project endpoint → lower-case resource endpoint → resource.
    pub routes: BTreeMap<String, BTreeMap<String, ResourceIx>>,
    /// Resources ordered so that every type comes after all types that its identity depends on.
    pub identity_order: Vec<ResourceIx>,
}

/// An abstract resource: a name, without endpoint and table, under which its subtypes are referred to.
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
    /// A descriptor type: stored in `dms.Descriptor`, without own tables and references.
    pub is_descriptor: bool,
    /// A PUT may change identity values.
    pub allow_identity_updates: bool,
    /// Its identity can change, directly or because it contains one that can (docs/design/rules.md#rule-1).
    pub changeable: bool,
    /// The identity of a document of this type.
    pub identity: IdentityPlan,
    /// The body tree: the members to read, in output order.
    pub body: Object,
    /// Tables in dependency order, root first, parents before children. A descriptor type has one, `dms.Descriptor`,
    /// with the columns of [`DescriptorColumn`](super::DescriptorColumn); the writer fills in the last three.
    pub tables: Vec<TablePlan>,
    /// References to other documents.
    pub references: Vec<ReferenceSite>,
    /// Descriptor URIs in the body.
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

impl Mapping {
    /// Returns the resource at an index.
    pub fn resource(&self, ix: ResourceIx) -> &ResourcePlan {
        &self.resources[ix.0 as usize]
    }

    /// Finds a resource by its two URL segments, ignoring case. Abstract types and resource extensions have no route.
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

    /// Iterates over all resources with their indexes, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (ResourceIx, &ResourcePlan)> {
        self.resources.iter().enumerate().map(|(i, r)| (ResourceIx(i as u32), r))
    }
}
