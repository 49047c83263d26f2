//! Checks references and descriptors of a body: their targets must exist, and their elements must cover the target's
//! identity.

use super::json_path::{follows_grammar, leads_to_value};
use crate::apischema::body_schema::{BodySchema, type_of};
use crate::apischema::error::{Findings, Location};
use crate::apischema::path;
use crate::apischema::raw::DocumentPath;
use crate::apischema::registry::{Registry, Target};
use std::collections::BTreeSet;

/// Checks a document reference; returns the path of the reference object if it has one.
pub(super) fn check<'a>(
    mapping: &'a DocumentPath,
    body: &BodySchema<'_>,
    registry: &Registry<'_>,
    at: &Location<'_>,
    findings: &mut Findings,
) -> Option<&'a str> {
    if mapping.reference_json_paths.is_empty() {
        findings
            .refuse(&at.member("referenceJsonPaths"), "missing or empty: a reference holds the identity of its target");
        return None;
    }
    for (index, element) in mapping.reference_json_paths.iter().enumerate() {
        let at = at.member("referenceJsonPaths").item(index);
        follows_grammar(&element.identity_json_path, &at.member("identityJsonPath"), findings);
        leads_to_value(&element.reference_json_path, body, &at.member("referenceJsonPath"), findings);
    }
    fits_target(mapping, body, registry, at, findings);
    reference_object(mapping, at, findings)
}

/// Returns the object that contains all elements.
fn reference_object<'a>(mapping: &'a DocumentPath, at: &Location<'_>, findings: &mut Findings) -> Option<&'a str> {
    let mut objects: Vec<&str> =
        mapping.reference_json_paths.iter().map(|e| path::parent(&e.reference_json_path)).collect();
    objects.sort_unstable();
    objects.dedup();
    match objects.as_slice() {
        [one] if *one != "$" && !one.ends_with("[*]") => Some(one),
        _ => {
            let problem = format!(
                "the members of a reference must be together in one object of their own, not in {}",
                objects.join(", ")
            );
            findings.refuse(&at.member("referenceJsonPaths"), problem);
            None
        }
    }
}

fn fits_target(
    mapping: &DocumentPath,
    body: &BodySchema<'_>,
    registry: &Registry<'_>,
    at: &Location<'_>,
    findings: &mut Findings,
) {
    let Some((project, name)) = named_target(mapping, at, findings) else { return };
    let (identity, target_body) = match registry.target((project, name)) {
        Some(Target::Concrete(target)) if target.resource.is_descriptor => {
            findings.refuse(
                &at.member("resourceName"),
                format!("{project} {name} is a descriptor: refer to it with isDescriptor and a path"),
            );
            return;
        }
        Some(Target::Concrete(target)) => (&target.resource.identity_json_paths, Some(registry.body_of(target))),
        Some(Target::Abstract(target)) => (&target.resource.identity_json_paths, None),
        None => {
            findings.refuse(&at.member("resourceName"), unknown(project, name));
            return;
        }
    };
    let expected: BTreeSet<&str> = identity.iter().map(String::as_str).collect();
    let given: Vec<&str> = mapping.reference_json_paths.iter().map(|e| e.identity_json_path.as_str()).collect();
    let distinct: BTreeSet<&str> = given.iter().copied().collect();
    if distinct != expected || distinct.len() != given.len() {
        let problem =
            format!("these do not fit the identity of {project} {name}: expected each of {} once", identity.join(", "));
        findings.refuse(&at.member("referenceJsonPaths"), problem);
    }
    let Some(target_body) = target_body else { return };
    for (index, element) in mapping.reference_json_paths.iter().enumerate() {
        let here = body.find_value(&element.reference_json_path).and_then(type_of);
        let there = target_body.find_value(&element.identity_json_path).and_then(type_of);
        if let (Some(here), Some(there)) = (here, there)
            && here != there
        {
            let problem = format!(
                "this is {here}, but {} of {project} {name} is {there}: both must have one type",
                element.identity_json_path
            );
            findings.refuse(&at.member("referenceJsonPaths").item(index), problem);
        }
    }
}

/// Checks a descriptor reference; returns its path if it has one.
pub(super) fn check_descriptor<'a>(
    mapping: &'a DocumentPath,
    body: &BodySchema<'_>,
    registry: &Registry<'_>,
    at: &Location<'_>,
    findings: &mut Findings,
) -> Option<&'a str> {
    if let Some((project, name)) = named_target(mapping, at, findings) {
        match registry.target((project, name)) {
            Some(Target::Concrete(target)) if target.resource.is_descriptor => {}
            Some(_) => findings.refuse(&at.member("resourceName"), format!("{project} {name} is not a descriptor")),
            None => findings.refuse(&at.member("resourceName"), unknown(project, name)),
        }
    }
    let Some(json_path) = mapping.path.as_deref() else {
        findings.refuse(&at.member("path"), "missing: expected the path of the descriptor");
        return None;
    };
    if leads_to_value(json_path, body, &at.member("path"), findings)
        && body.find(json_path).and_then(type_of) != Some("string")
    {
        findings.refuse(
            &at.member("path"),
            format!("{json_path} holds a descriptor URI, so it must be a string in jsonSchemaForInsert"),
        );
    }
    Some(json_path)
}

fn named_target<'a>(
    mapping: &'a DocumentPath,
    at: &Location<'_>,
    findings: &mut Findings,
) -> Option<(&'a str, &'a str)> {
    let named = mapping.project_name.as_deref().zip(mapping.resource_name.as_deref());
    if named.is_none() {
        findings.refuse(&at.member("resourceName"), "a reference names projectName and resourceName of its target");
    }
    named
}

fn unknown(project: &str, name: &str) -> String {
    format!("the files have no resource {project} {name}: load its project, or correct the name")
}
