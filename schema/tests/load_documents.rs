//! The documents of the small schema: each is valid, has a new identity, and refers only to documents on earlier lines.

mod support;

use millstream_schema::apischema::{DocumentPath, EffectiveSchema, ProjectSchema, ResourceSchema, load};
use millstream_schema::model::derive;
use millstream_schema::referential::{canonical_number, descriptor_id, is_descriptor_path, lower_uri, referential_id};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

struct Line {
    project: String,
    resource: String,
    body: Value,
}

fn lines() -> Vec<Line> {
    let text = std::fs::read_to_string(support::fixture_documents()).expect("the documents are there");
    let parse = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("each line is JSON");
        let text = |name: &str| value[name].as_str().expect("each line names project and resource").to_owned();
        Line { project: text("project"), resource: text("resource"), body: value["body"].clone() }
    };
    text.lines().map(parse).collect()
}

fn project<'s>(set: &'s EffectiveSchema, endpoint: &str) -> &'s ProjectSchema {
    let found = set.projects.iter().find(|p| p.schema.project_endpoint_name == endpoint);
    &found.expect("the project is loaded").schema
}

/// Accepts `HH:mm:ss`. Ed-Fi's times have no offset; those of JSON Schema do.
fn is_time(text: &str) -> bool {
    let parts: Vec<Option<u8>> = text.split(':').map(|part| (part.len() == 2).then(|| part.parse().ok())?).collect();
    matches!(parts.as_slice(), [Some(0..24), Some(0..60), Some(0..60)])
}

#[test]
fn every_document_is_valid_and_every_type_occurs() {
    let set = load(&support::fixture_files()).expect("the fixture loads");
    let model = derive(&set).expect("the fixture can be mapped");
    let validators: BTreeMap<(&str, &str), jsonschema::Validator> = model
        .resources
        .iter()
        .map(|r| {
            let validator = jsonschema::draft202012::options()
                .should_validate_formats(true)
                .with_format("time", is_time)
                .build(&r.json_schema);
            ((r.project_endpoint.as_str(), r.endpoint.as_str()), validator.expect("the schema is valid"))
        })
        .collect();
    let mut seen = BTreeSet::new();
    let lines = lines();
    for (number, line) in lines.iter().enumerate() {
        let validator = &validators[&(line.project.as_str(), line.resource.as_str())];
        let errors: Vec<String> =
            validator.iter_errors(&line.body).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "line {}: {errors:?}", number + 1);
        seen.insert((line.project.as_str(), line.resource.as_str()));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), validators.keys().copied().collect::<Vec<_>>());
}

#[test]
fn identities_are_new_and_references_point_back() {
    let set = load(&support::fixture_files()).expect("the fixture loads");
    let mut known: BTreeSet<Uuid> = BTreeSet::new();
    for (number, line) in lines().iter().enumerate() {
        let owner = project(&set, &line.project);
        let resource = &owner.resource_schemas[&line.resource];
        let extensions = set.projects.iter().flat_map(|p| p.schema.resource_schemas.values());
        let extensions = extensions.filter(|r| r.is_resource_extension && r.resource_name == resource.resource_name);
        let mappings = extensions.chain([resource]).flat_map(|r| r.document_paths_mapping.values());
        for mapping in mappings.filter(|m| m.is_reference) {
            for id in referred(mapping, &line.body) {
                assert!(known.contains(&id), "line {}: {mapping:?} points to a later line or none", number + 1);
            }
        }
        for id in own_ids(&owner.project_name, resource, &line.body) {
            assert!(known.insert(id), "line {}: the identity was there before", number + 1);
        }
    }
}

fn own_ids(project: &str, resource: &ResourceSchema, body: &Value) -> Vec<Uuid> {
    if resource.is_descriptor {
        let text = |name: &str| body[name].as_str().expect("a descriptor has it").to_owned();
        return vec![descriptor_id(
            project,
            &resource.resource_name,
            &format!("{}#{}", text("namespace"), text("codeValue")),
        )];
    }
    let value = |path: &String| canonical(path, values(body, path).first().copied().expect("the identity is there"));
    let elements: Vec<(&str, String)> = resource.identity_json_paths.iter().map(|p| (p.as_str(), value(p))).collect();
    let id = |project: &str, name: &str, elements: &[(&str, String)]| {
        referential_id(project, name, elements.iter().map(|(path, value)| (*path, value.as_str())))
    };
    let mut ids = vec![id(project, &resource.resource_name, &elements)];
    if let (Some(project), Some(name)) = (&resource.superclass_project_name, &resource.superclass_resource_name) {
        let renamed = resource.superclass_identity_json_path.as_deref();
        let alias: Vec<(&str, String)> =
            elements.iter().map(|(path, value)| (renamed.unwrap_or(path), value.clone())).collect();
        ids.push(id(project, name, &alias));
    }
    ids
}

fn referred(mapping: &DocumentPath, body: &Value) -> Vec<Uuid> {
    let (Some(project), Some(name)) = (&mapping.project_name, &mapping.resource_name) else { return Vec::new() };
    if let Some(path) = &mapping.path {
        return values(body, path)
            .iter()
            .map(|uri| descriptor_id(project, name, uri.as_str().expect("a descriptor is text")))
            .collect();
    }
    let columns: Vec<(&str, Vec<String>)> = mapping
        .reference_json_paths
        .iter()
        .map(|e| {
            let found = values(body, &e.reference_json_path);
            (e.identity_json_path.as_str(), found.into_iter().map(|v| canonical(&e.identity_json_path, v)).collect())
        })
        .collect();
    let count = columns.first().map_or(0, |(_, values)| values.len());
    assert!(columns.iter().all(|(_, values)| values.len() == count), "{mapping:?}: a reference lacks a member");
    (0..count).map(|i| referential_id(project, name, columns.iter().map(|(p, v)| (*p, v[i].as_str())))).collect()
}

fn values<'v>(body: &'v Value, path: &str) -> Vec<&'v Value> {
    path.trim_start_matches("$.").split('.').fold(vec![body], |at, step| {
        let (name, items) = step.strip_suffix("[*]").map_or((step, false), |name| (name, true));
        let members = at.into_iter().filter_map(|value| value.get(name));
        if items { members.flat_map(|v| v.as_array().into_iter().flatten()).collect() } else { members.collect() }
    })
}

fn canonical(path: &str, value: &Value) -> String {
    match value {
        Value::Number(number) => canonical_number(number.as_str()).expect("identities have short numbers"),
        Value::String(text) if is_descriptor_path(path) => lower_uri(text),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
