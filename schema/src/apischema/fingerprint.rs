//! Fingerprints (docs/design/edfi-schema.md#edfi-3): a project's hash, the effective schema's hash, resource keys and
//! their seed hash.

use super::canonical;
use super::raw::{ProjectSchema, ResourceKey};
use super::source::{self, Source};
use sha2::{Digest, Sha256};

/// Version of the rules that map an ApiSchema to tables, part of every fingerprint. Change it with every change of
/// naming or derivation rules.
pub const RELATIONAL_MAPPING_VERSION: &str = "v2";

/// One project's line in the fingerprint of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectLine {
    /// `ed-fi`.
    pub endpoint: String,
    /// `Ed-Fi`.
    pub name: String,
    /// `5.2.0`.
    pub version: String,
    /// The project is an extension.
    pub is_extension: bool,
    /// [`project_hash`] of the project.
    pub hash: String,
}

/// Returns the lower-hex SHA-256 of a `projectSchema`'s canonical JSON without its OpenAPI parts. Takes the JSON text,
/// because the spelling of numbers counts.
///
/// # Errors
/// When the text is not JSON.
pub fn project_hash(project_schema: &str) -> Result<String, serde_json::Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(project_schema)?;
    let source = source::read(project_schema);
    source.map(|source| hash_of(&source)).ok_or_else(|| serde::de::Error::custom("the text cannot be read as JSON"))
}

/// Returns the [`project_hash`] of a parsed project.
pub(super) fn hash_of(project_schema: &Source<'_>) -> String {
    let mut out = Vec::with_capacity(1 << 20);
    canonical::write_object(&mut out, project_schema, Some("openApiBaseDocuments"), &mut |out, key, value| match key {
        "resourceSchemas" => write_entries_without(out, value, "openApiFragments"),
        "abstractResources" => write_entries_without(out, value, "openApiFragment"),
        _ => canonical::write(out, value),
    });
    hex(&Sha256::digest(&out))
}

fn write_entries_without(out: &mut Vec<u8>, entries: &Source<'_>, left_out: &str) {
    canonical::write_object(out, entries, None, &mut |out, _, entry| {
        canonical::write_object(out, entry, Some(left_out), &mut |out, _, value| canonical::write(out, value));
    });
}

/// Returns the lower-hex SHA-256 that identifies a set of projects, in any order.
pub fn effective_schema_hash(api_schema_version: &str, projects: &[ProjectLine]) -> String {
    let mut sorted: Vec<&ProjectLine> = projects.iter().collect();
    sorted.sort_by(|a, b| canonical::ordinal(&a.endpoint, &b.endpoint));
    let mut manifest = format!(
        "dms-effective-schema-hash:v1\nrelationalMappingVersion={RELATIONAL_MAPPING_VERSION}\napiSchemaFormatVersion={api_schema_version}"
    );
    for ProjectLine { endpoint, name, version, is_extension, hash } in sorted {
        manifest.push_str(&format!("\n{endpoint}|{name}|{version}|{is_extension}|{hash}"));
    }
    hex(&Sha256::digest(manifest))
}

/// Numbers every concrete and abstract resource of the projects, sorted by project and resource name. `None` if there
/// are more than a `smallint` holds.
pub fn resource_keys<'a>(projects: impl IntoIterator<Item = &'a ProjectSchema>) -> Option<Vec<ResourceKey>> {
    let mut names: Vec<(&str, &str, &str)> = Vec::new();
    for project in projects {
        let concrete = project.resource_schemas.values().filter(|r| !r.is_resource_extension).map(|r| &r.resource_name);
        let all = concrete.chain(project.abstract_resources.keys());
        names.extend(all.map(|name| (project.project_name.as_str(), name.as_str(), project.project_version.as_str())));
    }
    names.sort_by(|a, b| canonical::ordinal(a.0, b.0).then_with(|| canonical::ordinal(a.1, b.1)));
    let numbered = names.into_iter().zip(1i64..).map(|((project, resource, version), id)| {
        Some(ResourceKey {
            id: i16::try_from(id).ok()?,
            project_name: project.to_owned(),
            resource_name: resource.to_owned(),
            resource_version: version.to_owned(),
        })
    });
    numbered.collect()
}

/// Returns the lower-hex SHA-256 of the rows of `dms.ResourceKey`.
pub fn resource_key_seed_hash(keys: &[ResourceKey]) -> String {
    let mut text = String::from("resource-key-seed-hash:v1\n");
    for key in keys {
        text.push_str(&format!("{}|{}|{}|{}\n", key.id, key.project_name, key.resource_name, key.resource_version));
    }
    hex(&Sha256::digest(text))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
