//! Derives plausible variants of the published schema files.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The files of a set, the core first.
pub(crate) type Files = Vec<Value>;

/// A named alteration of a set.
pub(crate) type Variant = (&'static str, fn(&mut Files, &mut StdRng));

pub(crate) const VARIANTS: [Variant; 7] = [
    ("resources dropped", drop_resources),
    ("members dropped", drop_members),
    ("projects renamed", rename_projects),
    ("the core alone", |files, _| files.truncate(1)),
    ("the core and the first extension", |files, _| files.truncate(2)),
    ("the core and the second extension", |files, _| drop(files.remove(1))),
    ("older abstract identities", older_abstracts),
];

/// Returns the `resourceSchemas` of a file.
pub(crate) fn resources(file: &Value) -> impl Iterator<Item = (&String, &Value)> {
    file["projectSchema"]["resourceSchemas"].as_object().into_iter().flatten()
}

fn resources_mut(file: &mut Value) -> Option<&mut Map<String, Value>> {
    file.pointer_mut("/projectSchema/resourceSchemas").and_then(Value::as_object_mut)
}

/// Returns project and resource name of a resource or of a reference entry.
fn named(entry: &Value) -> (String, String) {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    (text("projectName"), text("resourceName"))
}

fn targets(resource: &Value) -> BTreeSet<(String, String)> {
    let mapping = resource["documentPathsMapping"].as_object().into_iter().flatten();
    mapping.filter(|(_, entry)| entry["isReference"] == json!(true)).map(|(_, entry)| named(entry)).collect()
}

/// Drops some resources with all resources that refer to them or extend them. Subtypes stay, because a reference to their
/// superclass does not name the subtype that it needs.
fn drop_resources(files: &mut Files, rng: &mut StdRng) {
    let mut dropped: BTreeSet<(String, String)> = BTreeSet::new();
    for _ in 0..40 {
        let all: Vec<(String, String)> = all_names(files).into_iter().collect();
        let mut more = BTreeSet::from([all[rng.random_range(0..all.len())].clone()]);
        while let Some(next) = files.iter().find_map(|file| referring(file, &more)) {
            more.insert(next);
        }
        let subtype = |file: &Value| {
            let project = file["projectSchema"]["projectName"].as_str().unwrap_or_default().to_owned();
            resources(file)
                .any(|(_, r)| r["isSubclass"] == json!(true) && more.contains(&(project.clone(), named(r).1)))
        };
        // Dropping a resource with many referrers would drop most of the schema.
        if more.len() <= 12 && !files.iter().any(subtype) {
            dropped.extend(more);
        }
    }
    for file in files.iter_mut() {
        let project = file["projectSchema"]["projectName"].as_str().unwrap_or_default().to_owned();
        let keep = |resource: &Value| {
            let name = named(resource).1;
            let extends = resource["isResourceExtension"] == json!(true);
            let gone = dropped.iter().any(|(p, n)| *n == name && (extends || *p == project));
            !gone && targets(resource).is_disjoint(&dropped)
        };
        if let Some(resources) = resources_mut(file) {
            resources.retain(|_, resource| keep(resource));
        }
    }
}

fn all_names(files: &Files) -> BTreeSet<(String, String)> {
    let of_file = |file: &Value| {
        let project = file["projectSchema"]["projectName"].as_str().unwrap_or_default().to_owned();
        let own = resources(file).filter(|(_, resource)| resource["isResourceExtension"] != json!(true));
        own.map(|(_, resource)| (project.clone(), named(resource).1)).collect::<Vec<_>>()
    };
    files.iter().flat_map(of_file).collect()
}

/// Returns a resource outside `gone` that refers to a resource in it.
fn referring(file: &Value, gone: &BTreeSet<(String, String)>) -> Option<(String, String)> {
    let project = file["projectSchema"]["projectName"].as_str().unwrap_or_default();
    resources(file).filter(|(_, resource)| resource["isResourceExtension"] != json!(true)).find_map(|(_, resource)| {
        let name = (project.to_owned(), named(resource).1);
        (!gone.contains(&name) && !targets(resource).is_disjoint(gone)).then_some(name)
    })
}

/// Drops some optional members of bodies, with all schema entries about them.
fn drop_members(files: &mut Files, rng: &mut StdRng) {
    let mut extended: BTreeSet<(String, String)> = BTreeSet::new();
    for resource in files.iter().flat_map(resources).map(|(_, r)| r).filter(|r| r["isResourceExtension"] == json!(true))
    {
        let members = resource["jsonSchemaForInsert"]["properties"].as_object().into_iter().flatten();
        extended.extend(members.map(|(member, _)| (named(resource).1, member.clone())));
    }
    for file in files.iter_mut() {
        for (_, resource) in resources_mut(file).into_iter().flatten() {
            if resource["isResourceExtension"] == json!(true) || resource["isDescriptor"] == json!(true) {
                continue;
            }
            let name = named(resource).1;
            let schema = &resource["jsonSchemaForInsert"];
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let members: Vec<String> =
                schema["properties"].as_object().into_iter().flatten().map(|(m, _)| m.clone()).collect();
            for member in members {
                let free = !required.contains(&json!(member)) && !extended.contains(&(name.clone(), member.clone()));
                if free && member != "_ext" && rng.random_bool(0.3) {
                    drop_member(resource, &member);
                }
            }
        }
    }
}

fn drop_member(resource: &mut Value, member: &str) {
    let path = format!("$.{member}");
    let below =
        |text: &str| text.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    if let Some(properties) = resource.pointer_mut("/jsonSchemaForInsert/properties").and_then(Value::as_object_mut) {
        properties.remove(member);
    }
    if let Some(mapping) = resource.pointer_mut("/documentPathsMapping").and_then(Value::as_object_mut) {
        mapping.retain(|_, entry| !contains_text(entry, &below));
    }
    for list in ["equalityConstraints", "arrayUniquenessConstraints"] {
        if let Some(list) = resource.get_mut(list).and_then(Value::as_array_mut) {
            list.retain(|entry| !contains_text(entry, &below));
        }
    }
    if let Some(overrides) = resource.pointer_mut("/relational/nameOverrides").and_then(Value::as_object_mut) {
        overrides.retain(|key, _| !below(key));
    }
}

/// Returns whether a value contains a string for which `wanted` holds.
fn contains_text(value: &Value, wanted: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => wanted(text),
        Value::Array(items) => items.iter().any(|item| contains_text(item, wanted)),
        Value::Object(members) => members.values().any(|member| contains_text(member, wanted)),
        _ => false,
    }
}

/// Renames every project, and the endpoint of the core.
fn rename_projects(files: &mut Files, _: &mut StdRng) {
    fn rename(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(rename),
            Value::Object(members) => {
                for (name, member) in members {
                    match member {
                        Value::String(text) if name.to_lowercase().ends_with("projectname") => {
                            *text = format!("The {text} of 4.0");
                        }
                        member => rename(member),
                    }
                }
            }
            _ => {}
        }
    }
    files.iter_mut().for_each(rename);
    files[0]["projectSchema"]["projectEndpointName"] = json!("4-acme");
}

/// Converts abstract resources to the older format, with names instead of paths.
fn older_abstracts(files: &mut Files, _: &mut StdRng) {
    for file in files {
        let abstracts = file.pointer_mut("/projectSchema/abstractResources");
        for (_, found) in abstracts.and_then(Value::as_object_mut).into_iter().flatten() {
            let leaf = |path: &Value| path.as_str().and_then(|path| path.rsplit('.').next()).map(str::to_owned);
            let names: Vec<String> =
                found["identityJsonPaths"].as_array().into_iter().flatten().filter_map(leaf).collect();
            *found = json!({ "identityPathOrder": names });
        }
    }
}
