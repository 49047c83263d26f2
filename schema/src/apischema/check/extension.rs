//! Checks resource extensions: they may only add `_ext` content to a resource of another project.

use super::resource;
use crate::apischema::body_schema::{BodySchema, insertion_scope, type_of};
use crate::apischema::error::{Findings, Location};
use crate::apischema::path::Segment;
use crate::apischema::registry::{Entry, Registry};
use serde_json::Value;

/// Checks an extension against the resource that it extends.
pub(super) fn check(entry: &Entry<'_>, registry: &Registry<'_>, findings: &mut Findings) {
    let Some(base) = registry.base_of(entry) else {
        let name = &entry.resource.resource_name;
        findings.refuse(
            &entry.location().member("resourceName"),
            format!(
                "the other projects have no single resource {name} to extend: load its project, or correct the name"
            ),
        );
        return;
    };
    if base.resource.is_descriptor {
        findings.refuse(
            &entry.location().member("resourceName"),
            "descriptors of all types share one table: they cannot be extended",
        );
    }
    let own_base = BodySchema::new(&base.resource.json_schema_for_insert);
    let at = entry.location().member("jsonSchemaForInsert");
    only_ext(&entry.resource.json_schema_for_insert, &mut Vec::new(), &own_base, &at, findings);
    fragments(entry, &own_base, findings);
    resource::check(entry, &registry.body_of(base), registry, findings);
}

/// Refuses members of the extension's schema outside `_ext` that the base schema does not have.
fn only_ext<'s>(
    schema: &'s Value,
    scope: &mut Vec<Segment<'s>>,
    base: &BodySchema<'_>,
    at: &Location<'_>,
    findings: &mut Findings,
) {
    if type_of(schema) == Some("array") {
        if let Some(items) = schema.get("items") {
            scope.push(Segment::Items);
            only_ext(items, scope, base, &at.member("items"), findings);
            scope.pop();
        }
        return;
    }
    for (name, property) in members(schema) {
        if name == "_ext" {
            continue;
        }
        let at = at.member("properties").member(name);
        scope.push(Segment::Member(name));
        match base.find_segments(scope) {
            None => findings.refuse(&at, "an extension adds members under _ext only: move this there"),
            Some(existing) if type_of(existing) != type_of(property) => {
                findings.refuse(
                    &at,
                    "the extended resource has this member with another type: an extension cannot change it",
                );
            }
            Some(_) => only_ext(property, scope, base, &at, findings),
        }
        scope.pop();
    }
}

fn fragments(entry: &Entry<'_>, base: &BodySchema<'_>, findings: &mut Findings) {
    for (index, fragment) in entry.resource.common_extension_overrides.iter().enumerate() {
        let override_location = entry.location().member("commonExtensionOverrides").item(index);
        let at = &override_location;
        if !fragment.project_endpoint_name.eq_ignore_ascii_case(&entry.project.schema.project_endpoint_name) {
            findings.refuse(
                &at.member("projectEndpointName"),
                "a project can add fragments under its own endpoint name only",
            );
        }
        for (location_index, location) in fragment.insertion_locations.iter().enumerate() {
            let at = at.member("insertionLocations").item(location_index);
            let target = insertion_scope(location).and_then(|scope| base.find_segments(&scope));
            if target.and_then(type_of) != Some("object") {
                findings.refuse(&at, format!("{location} is not an object in the schema of the extended resource"));
            }
            if disagrees(&fragment.schema_fragment, location, &entry.resource.json_schema_for_insert) {
                let problem = "jsonSchemaForInsert describes members of this fragment differently: make them equal";
                findings.refuse(&override_location.member("schemaFragment"), problem);
            }
        }
    }
}

/// Returns whether the extension's own schema describes a member of the fragment differently. Equal ones are common
/// (docs/design/rules.md#rule-18).
fn disagrees(fragment: &Value, location: &str, own: &Value) -> bool {
    let Some(mut scope) = insertion_scope(location) else { return false };
    scope.push(Segment::Member("_ext"));
    let Some(existing) = BodySchema::new(own).find_segments(&scope) else { return false };
    members(fragment).any(|(project, content)| {
        let Some(existing) = existing.get("properties").and_then(|projects| projects.get(project)) else {
            return false;
        };
        members(content).any(|(name, schema)| {
            existing.get("properties").and_then(|p| p.get(name)).is_some_and(|other| other != schema)
        })
    })
}

fn members(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}
