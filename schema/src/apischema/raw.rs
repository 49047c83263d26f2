//! The structure of ApiSchema files (docs/design/edfi-schema.md#edfi-1). Maps are ordered by key, so nothing depends on
//! the order in the file.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Members of a descriptor's body, each with its maximum characters (`None`: a date). All types share one table.
pub const DESCRIPTOR_MEMBERS: [(&str, Option<u32>); 6] = [
    ("namespace", Some(255)),
    ("codeValue", Some(50)),
    ("shortDescription", Some(75)),
    ("description", Some(1024)),
    ("effectiveBeginDate", None),
    ("effectiveEndDate", None),
];

/// One project of one file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectSchema {
    /// MetaEd name: `Ed-Fi`.
    pub project_name: String,
    /// `5.2.0`.
    pub project_version: String,
    /// URL segment: `ed-fi`.
    pub project_endpoint_name: String,
    /// False on exactly one project of a set: the core.
    pub is_extension_project: bool,
    /// Endpoint name → resource.
    pub resource_schemas: BTreeMap<String, ResourceSchema>,
    /// Abstract name → abstract resource.
    #[serde(default)]
    pub abstract_resources: BTreeMap<String, AbstractResource>,
}

/// An abstract resource.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AbstractResource {
    /// Identity paths, in hash order.
    #[serde(default)]
    pub identity_json_paths: Vec<String>,
    /// Bare member names in older files. Loading converts them to `identity_json_paths`.
    #[serde(default)]
    pub identity_path_order: Vec<String>,
}

/// One resource, descriptor, school year enumeration or resource extension (docs/design/edfi-schema.md#edfi-1.3).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSchema {
    /// `School`.
    pub resource_name: String,
    /// A descriptor type.
    #[serde(default)]
    pub is_descriptor: bool,
    /// `SchoolYearType`.
    #[serde(default)]
    pub is_school_year_enumeration: bool,
    /// Adds `_ext` content to a resource of another project, and nothing else.
    #[serde(default)]
    pub is_resource_extension: bool,
    /// Has a superclass.
    #[serde(default)]
    pub is_subclass: bool,
    /// `association` or `domainEntity`.
    #[serde(default)]
    pub subclass_type: Option<String>,
    /// Superclass project.
    #[serde(default)]
    pub superclass_project_name: Option<String>,
    /// Superclass resource.
    #[serde(default)]
    pub superclass_resource_name: Option<String>,
    /// For a domain entity: the superclass's identity path.
    #[serde(default)]
    pub superclass_identity_json_path: Option<String>,
    /// A PUT may change identity values.
    #[serde(default)]
    pub allow_identity_updates: bool,
    /// Body of POST.
    pub json_schema_for_insert: Value,
    /// Identity paths, in hash order.
    #[serde(default)]
    pub identity_json_paths: Vec<String>,
    /// Every leaf and reference, by MetaEd name.
    #[serde(default)]
    pub document_paths_mapping: BTreeMap<String, DocumentPath>,
    /// Pairs of paths that hold equal values.
    #[serde(default)]
    pub equality_constraints: Vec<RawEqualityConstraint>,
    /// Tuples unique among the items of an array.
    #[serde(default)]
    pub array_uniqueness_constraints: Vec<RawArrayUniqueness>,
    /// Query field → paths.
    #[serde(default)]
    pub query_field_mapping: BTreeMap<String, Vec<RawQueryPath>>,
    /// Paths of values that are coerced to booleans.
    #[serde(default)]
    pub boolean_json_paths: Vec<String>,
    /// Paths of values that are coerced to numbers.
    #[serde(default)]
    pub numeric_json_paths: Vec<String>,
    /// Paths of values that are coerced to dates.
    #[serde(default)]
    pub date_json_paths: Vec<String>,
    /// Paths of values that are coerced to date-times.
    #[serde(default)]
    pub date_time_json_paths: Vec<String>,
    /// Digits of decimals.
    #[serde(default)]
    pub decimal_property_validation_infos: Vec<DecimalInfo>,
    /// Naming overrides.
    #[serde(default)]
    pub relational: Option<Relational>,
    /// `_ext` fragments that this extension merges into its base (docs/design/edfi-schema.md#edfi-1.3).
    #[serde(default)]
    pub common_extension_overrides: Vec<CommonExtensionOverride>,
}

/// An entry of `documentPathsMapping` (docs/design/edfi-schema.md#edfi-1.4). `isPartOfIdentity` and `isRequired` are
/// not read: they disagree with `identityJsonPaths` and the JSON schema (docs/design/rules.md#rule-14,
/// docs/design/rules.md#rule-19).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentPath {
    /// A reference or descriptor.
    #[serde(default)]
    pub is_reference: bool,
    /// A descriptor.
    #[serde(default)]
    pub is_descriptor: bool,
    /// Target project.
    #[serde(default)]
    pub project_name: Option<String>,
    /// Target resource.
    #[serde(default)]
    pub resource_name: Option<String>,
    /// Path of a scalar or descriptor.
    #[serde(default)]
    pub path: Option<String>,
    /// Paths of a document reference, in the target's identity order.
    #[serde(default)]
    pub reference_json_paths: Vec<ReferenceJsonPath>,
}

/// One element of a document reference.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceJsonPath {
    /// Path in the target document.
    pub identity_json_path: String,
    /// Path in this document.
    pub reference_json_path: String,
}

/// An equality constraint.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawEqualityConstraint {
    /// First path.
    pub source_json_path: String,
    /// Second path.
    pub target_json_path: String,
}

/// An array uniqueness constraint.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawArrayUniqueness {
    /// Parent items of a nested constraint: `$.addresses[*]`.
    #[serde(default)]
    pub base_path: Option<String>,
    /// Paths of the tuple, relative to `base_path` if it is set.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Constraints within one parent item.
    #[serde(default)]
    pub nested_constraints: Vec<RawArrayUniqueness>,
}

/// One path of a query field.
#[derive(Debug, Clone, Deserialize)]
pub struct RawQueryPath {
    /// Path in the body; `$.id` is the document's uuid.
    pub path: String,
    /// boolean, date, date-time, number, string, time.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Digits of a decimal.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecimalInfo {
    /// Path in the body.
    pub path: String,
    /// Total digits.
    #[serde(default)]
    pub total_digits: Option<u16>,
    /// Digits after the point.
    #[serde(default)]
    pub decimal_places: Option<u16>,
}

/// Naming overrides (docs/design/edfi-model.md#edfi-4.7).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relational {
    /// Name of the root table.
    #[serde(default)]
    pub root_table_name_override: Option<String>,
    /// Path → name.
    #[serde(default)]
    pub name_overrides: BTreeMap<String, String>,
}

/// An `_ext` fragment and its insertion locations in the base schema.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommonExtensionOverride {
    /// Paths in the JSON schema: `$.properties.addresses.items`.
    pub insertion_locations: Vec<String>,
    /// The fragment.
    pub schema_fragment: Value,
    /// Endpoint of the project that owns the fragment.
    pub project_endpoint_name: String,
}

/// A row of `dms.ResourceKey`: one per concrete or abstract resource (docs/design/edfi-schema.md#edfi-3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceKey {
    /// 1..N.
    pub id: i16,
    /// `Ed-Fi`.
    pub project_name: String,
    /// `School`.
    pub resource_name: String,
    /// `5.2.0`.
    pub resource_version: String,
}

/// A loaded project with its fingerprint.
#[derive(Debug, Clone)]
pub struct Project {
    /// Source file, for messages.
    pub file: std::path::PathBuf,
    /// The schema.
    pub schema: ProjectSchema,
    /// Lower-hex SHA-256 of its canonical JSON (docs/design/edfi-schema.md#edfi-3.1).
    pub hash: String,
}

/// A checked set of projects: one core and any extensions.
#[derive(Debug, Clone)]
pub struct EffectiveSchema {
    /// `1.0.0`.
    pub api_schema_version: String,
    /// Ordered by endpoint.
    pub projects: Vec<Project>,
    /// Lower-hex (docs/design/edfi-schema.md#edfi-3.1).
    pub hash: String,
    /// Ordered by id.
    pub resource_keys: Vec<ResourceKey>,
    /// Lower-hex (docs/design/edfi-schema.md#edfi-3.4).
    pub resource_key_seed_hash: String,
    /// Oddities that do not refuse the set, each with file and JSON path.
    pub warnings: Vec<String>,
}
