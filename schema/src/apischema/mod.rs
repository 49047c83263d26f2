//! ApiSchema files: loading, checking, fingerprinting.
//!
//! [`load`] takes one core project and any extensions, in any order, and returns an [`EffectiveSchema`], or all reasons
//! why it cannot ([`LoadErrors`]). Later passes rely on its checks: targets of references exist and their elements are
//! in the target's identity order, identities do not contain themselves, paths follow the grammar, and JSON schemas use
//! only constructs that can be stored in tables.

mod body_schema;
mod canonical;
mod check;
mod error;
mod fingerprint;
mod normalize;
pub(crate) mod path;
mod raw;
mod read;
mod registry;
mod source;

pub use error::{LoadError, LoadErrors};
pub use fingerprint::{
    ProjectLine, RELATIONAL_MAPPING_VERSION, effective_schema_hash, project_hash, resource_key_seed_hash, resource_keys,
};
pub use raw::*;

use error::{Findings, Location};
use std::path::{Path, PathBuf};

/// Loads a set of ApiSchema files. Each path is a file, or a directory of `*.json` files. The order does not matter.
///
/// # Errors
/// Every reason why the set is refused.
pub fn load(paths: &[PathBuf]) -> Result<EffectiveSchema, LoadErrors> {
    let mut findings = Findings::default();
    if paths.is_empty() {
        findings.refuse(
            &Location::root(Path::new("")),
            "no ApiSchema file was given: name the core project's file and those of its extensions",
        );
    }
    let texts = read::texts(paths, &mut findings);
    assemble(&texts, findings)
}

/// Loads a set like [`load`], from the text of each file; the paths are used in messages.
///
/// # Errors
/// Every reason why the set is refused.
pub fn load_texts(texts: &[(PathBuf, Vec<u8>)]) -> Result<EffectiveSchema, LoadErrors> {
    assemble(texts, Findings::default())
}

fn assemble(texts: &[(PathBuf, Vec<u8>)], mut findings: Findings) -> Result<EffectiveSchema, LoadErrors> {
    let mut files: Vec<read::SchemaFile> =
        texts.iter().filter_map(|(file, text)| read::parse(file, text, &mut findings)).collect();
    // Stop here if a file cannot be read: errors about references into it would hide the reason.
    findings.conclude()?;
    files.sort_by(|a, b| {
        let endpoints =
            canonical::ordinal(&a.project.schema.project_endpoint_name, &b.project.schema.project_endpoint_name);
        endpoints.then_with(|| a.project.file.cmp(&b.project.file))
    });
    let (versions, mut projects): (Vec<_>, Vec<_>) =
        files.into_iter().map(|file| ((file.project.file.clone(), file.api_schema_version), file.project)).unzip();
    normalize::abstract_identities(&mut projects);
    let file_versions: Vec<(&Path, &str)> =
        versions.iter().map(|(file, version)| (file.as_path(), version.as_str())).collect();
    check::check(&file_versions, &projects, &mut findings);
    let warnings = findings.conclude()?;
    normalize::reference_order(&mut projects);
    normalize::descriptor_lengths(&mut projects);
    Ok(fingerprinted(versions, projects, warnings))
}

fn fingerprinted(versions: Vec<(PathBuf, String)>, projects: Vec<Project>, warnings: Vec<String>) -> EffectiveSchema {
    let api_schema_version = versions.into_iter().next().map(|(_, version)| version).unwrap_or_default();
    let lines: Vec<ProjectLine> = projects
        .iter()
        .map(|project| ProjectLine {
            endpoint: project.schema.project_endpoint_name.clone(),
            name: project.schema.project_name.clone(),
            version: project.schema.project_version.clone(),
            is_extension: project.schema.is_extension_project,
            hash: project.hash.clone(),
        })
        .collect();
    // The check refused more keys than a smallint holds.
    let resource_keys = resource_keys(projects.iter().map(|p| &p.schema)).unwrap_or_default();
    EffectiveSchema {
        hash: effective_schema_hash(&api_schema_version, &lines),
        resource_key_seed_hash: resource_key_seed_hash(&resource_keys),
        resource_keys,
        api_schema_version,
        projects,
        warnings,
    }
}
