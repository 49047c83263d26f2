//! Reading of ApiSchema files: parses each file, reports files that are not an ApiSchema, and computes each project's
//! hash.

use super::error::{Findings, Location};
use super::fingerprint;
use super::raw::{AbstractResource, Project, ProjectSchema, ResourceSchema};
use super::source;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A parsed file.
pub(super) struct SchemaFile {
    pub(super) api_schema_version: String,
    pub(super) project: Project,
}

/// Reads the files at the paths; each is a file, or a directory of `*.json` files.
pub(super) fn texts(paths: &[PathBuf], findings: &mut Findings) -> Vec<(PathBuf, Vec<u8>)> {
    let mut texts = Vec::new();
    for path in paths {
        match files_at(path) {
            Ok(files) if files.is_empty() => {
                findings.refuse(
                    &Location::root(path),
                    "the directory has no *.json file: name a directory with ApiSchema files",
                );
            }
            Ok(files) => {
                for file in files {
                    match std::fs::read(&file) {
                        Ok(text) => texts.push((file, text)),
                        Err(error) => {
                            findings.refuse(&Location::root(&file), format!("the file cannot be read: {error}"))
                        }
                    }
                }
            }
            Err(error) => findings
                .refuse(&Location::root(path), format!("cannot be read: {error}; check the path and its permissions")),
        }
    }
    texts
}

fn files_at(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        if file.is_file() && file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Parses one file. Returns `None` if something was refused.
pub(super) fn parse(file: &Path, text: &[u8], findings: &mut Findings) -> Option<SchemaFile> {
    let root = Location::root(file);
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let Ok(text) = std::str::from_utf8(text) else {
        findings.refuse(&root, "the file is not UTF-8: save it as UTF-8");
        return None;
    };
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            findings.refuse(&root, format!("malformed JSON: {error}"));
            return None;
        }
    };
    let Some(source) = source::read(text) else {
        findings.refuse(&root, "the file cannot be read as JSON: export it again");
        return None;
    };
    let repeats = source.repeats();
    for path in &repeats {
        findings.refuse(&root.below(path), "duplicate member: keep one of the two");
    }
    let version = required_text(value.get("apiSchemaVersion"), &root.member("apiSchemaVersion"), findings);
    if value.get("projectSchemas").is_some() {
        findings.refuse(
            &root.member("projectSchemas"),
            "the old layout with a map of projects: give each project a file with `projectSchema`",
        );
        return None;
    }
    let Some(project) = value.get("projectSchema").and_then(Value::as_object) else {
        findings.refuse(
            &root.member("projectSchema"),
            "missing or not an object: the file is not an ApiSchema file; leave it out, or export it again",
        );
        return None;
    };
    let schema = project_schema(project, &root.member("projectSchema"), findings);
    let (Some(schema), true) = (schema, repeats.is_empty()) else { return None };
    let hash = fingerprint::hash_of(source.member("projectSchema")?);
    Some(SchemaFile { api_schema_version: version?, project: Project { file: file.to_path_buf(), schema, hash } })
}

fn project_schema(project: &Map<String, Value>, at: &Location<'_>, findings: &mut Findings) -> Option<ProjectSchema> {
    let whole = project.get("resourceSchemas").and_then(Value::as_object);
    if whole.is_none() {
        findings.refuse(
            &at.member("resourceSchemas"),
            "missing or not an object: expected a map from endpoint names to resources",
        );
    }
    let resource_schemas = entries::<ResourceSchema>(whole, &at.member("resourceSchemas"), findings);
    let abstracts = match project.get("abstractResources") {
        None | Some(Value::Null) => None,
        Some(Value::Object(map)) => Some(map),
        Some(_) => {
            findings.refuse(
                &at.member("abstractResources"),
                "not an object: expected a map from names to abstract resources",
            );
            None
        }
    };
    let abstract_resources = entries::<AbstractResource>(abstracts, &at.member("abstractResources"), findings);
    let is_extension_project = project.get("isExtensionProject").and_then(Value::as_bool);
    if is_extension_project.is_none() {
        findings.refuse(&at.member("isExtensionProject"), "missing or not a boolean: false marks the core project");
    }
    let project_name = required_text(project.get("projectName"), &at.member("projectName"), findings);
    let project_version = required_text(project.get("projectVersion"), &at.member("projectVersion"), findings);
    let project_endpoint_name =
        required_text(project.get("projectEndpointName"), &at.member("projectEndpointName"), findings);
    Some(ProjectSchema {
        project_name: project_name?,
        project_version: project_version?,
        project_endpoint_name: project_endpoint_name?,
        is_extension_project: is_extension_project?,
        resource_schemas: whole.and(resource_schemas)?,
        abstract_resources: abstract_resources?,
    })
}

/// Parses every entry of a map; each refusal names the path inside the entry. Returns `None` if one was refused.
fn entries<T: DeserializeOwned>(
    map: Option<&Map<String, Value>>,
    at: &Location<'_>,
    findings: &mut Findings,
) -> Option<BTreeMap<String, T>> {
    let mut read = BTreeMap::new();
    let mut complete = true;
    for (name, value) in map.into_iter().flatten() {
        match serde_path_to_error::deserialize(value) {
            Ok(entry) => {
                read.insert(name.clone(), entry);
            }
            Err(error) => {
                complete = false;
                let inside = error.path().to_string();
                let location = if inside == "." { at.member(name) } else { at.member(name).below(&inside) };
                findings.refuse(&location, format!("{}; correct the file or export it again", error.inner()));
            }
        }
    }
    complete.then_some(read)
}

fn required_text(value: Option<&Value>, at: &Location<'_>, findings: &mut Findings) -> Option<String> {
    match value {
        Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
        _ => {
            findings.refuse(at, "missing, empty, or not a string");
            None
        }
    }
}
