//! Checks one resource's paths and constraints against its merged body: the resource's schema with the additions of its
//! extensions (docs/design/rules.md#rule-18).
//!
//! Errors that would store, find or compare values wrongly are refused. Entries without an effect are warnings.

use super::json_path::{follows_grammar, leads_to_value};
use super::{array_uniqueness, reference};
use crate::apischema::body_schema::BodySchema;
use crate::apischema::error::{Findings, Location};
use crate::apischema::path;
use crate::apischema::raw::{DocumentPath, ResourceSchema};
use crate::apischema::registry::{Entry, Registry};
use std::collections::{BTreeMap, BTreeSet};

/// Checks a resource or resource extension.
pub(super) fn check(entry: &Entry<'_>, body: &BodySchema<'_>, registry: &Registry<'_>, findings: &mut Findings) {
    let resource = entry.resource;
    identity(entry, body, findings);
    mappings(entry, body, registry, findings);
    equality(entry, body, findings);
    for (index, constraint) in resource.array_uniqueness_constraints.iter().enumerate() {
        let at = entry.location().member("arrayUniquenessConstraints").item(index);
        array_uniqueness::check(constraint, None, body, &at, findings);
    }
    query_fields(entry, body, findings);
    coercions(resource, body, &entry.location(), findings);
    decimals(resource, body, &entry.location(), findings);
    if let Some(relational) = &resource.relational {
        for json_path in relational.name_overrides.keys() {
            follows_grammar(
                json_path,
                &entry.location().member("relational").member("nameOverrides").member(json_path),
                findings,
            );
        }
    }
}

fn identity(entry: &Entry<'_>, body: &BodySchema<'_>, findings: &mut Findings) {
    let resource = entry.resource;
    if resource.is_descriptor || resource.is_resource_extension {
        return;
    }
    let at = entry.location().member("identityJsonPaths");
    if resource.identity_json_paths.is_empty() {
        findings.refuse(&at, "missing or empty: every resource but descriptors and extensions needs an identity");
    }
    let mut seen = BTreeSet::new();
    for (index, json_path) in resource.identity_json_paths.iter().enumerate() {
        let at = at.item(index);
        if path::has_array(json_path) {
            findings.refuse(&at, format!("{json_path} leads through an array: an identity has single values"));
        } else {
            leads_to_value(json_path, body, &at, findings);
        }
        if !seen.insert(json_path) {
            findings.refuse(&at, format!("{json_path} is listed twice: an identity names each value once"));
        }
    }
}

fn mappings(entry: &Entry<'_>, body: &BodySchema<'_>, registry: &Registry<'_>, findings: &mut Findings) {
    // Reference object or descriptor path → name of its mapping.
    let mut sites: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, mapping) in &entry.resource.document_paths_mapping {
        let at = entry.location().member("documentPathsMapping").member(name);
        let site = match (mapping.is_reference, mapping.is_descriptor) {
            (true, true) => reference::check_descriptor(mapping, body, registry, &at, findings),
            (true, false) => reference::check(mapping, body, registry, &at, findings),
            (false, _) => {
                scalar(mapping, body, &at, findings);
                None
            }
        };
        if let Some(other) = site.and_then(|site| sites.insert(site, name)) {
            findings.refuse(&at, format!("the entry {other} has the same path: a path refers to one document"));
        }
    }
}

fn scalar(mapping: &DocumentPath, body: &BodySchema<'_>, at: &Location<'_>, findings: &mut Findings) {
    let at = at.member("path");
    match mapping.path.as_deref() {
        None => findings.refuse(&at, "missing: expected the path of the value"),
        Some(json_path) => {
            if follows_grammar(json_path, &at, findings) && body.find(json_path).is_none() {
                findings.warn(&at, format!("{json_path} is not in jsonSchemaForInsert: the entry has no effect"));
            }
        }
    }
}

fn equality(entry: &Entry<'_>, body: &BodySchema<'_>, findings: &mut Findings) {
    for (index, constraint) in entry.resource.equality_constraints.iter().enumerate() {
        let at = entry.location().member("equalityConstraints").item(index);
        equal_value(&constraint.source_json_path, body, &at.member("sourceJsonPath"), findings);
        equal_value(&constraint.target_json_path, body, &at.member("targetJsonPath"), findings);
    }
}

/// A constraint whose path exists nowhere compares nothing; one on an object or array compares wrongly.
fn equal_value(json_path: &str, body: &BodySchema<'_>, at: &Location<'_>, findings: &mut Findings) {
    if !follows_grammar(json_path, at, findings) {
        return;
    }
    if body.find(json_path).is_none() {
        findings.warn(at, format!("{json_path} is not in jsonSchemaForInsert: the constraint has no effect"));
    } else {
        leads_to_value(json_path, body, at, findings);
    }
}

fn query_fields(entry: &Entry<'_>, body: &BodySchema<'_>, findings: &mut Findings) {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for (field, paths) in &entry.resource.query_field_mapping {
        let at = entry.location().member("queryFieldMapping").member(field);
        if let Some(other) = names.insert(field.to_lowercase(), field) {
            findings.refuse(&at, format!("query fields ignore case, so this is the same field as {other}: rename one"));
        }
        for (index, query) in paths.iter().enumerate() {
            let at = at.item(index);
            if !matches!(query.kind.as_str(), "boolean" | "date" | "date-time" | "number" | "string" | "time") {
                let problem =
                    format!("{:?} is unknown: expected boolean, date, date-time, number, string or time", query.kind);
                findings.refuse(&at.member("type"), problem);
            }
            let at = at.member("path");
            if path::has_array(&query.path) {
                findings.refuse(
                    &at,
                    format!("{} leads through an array: a query field compares one value of a document", query.path),
                );
            } else if follows_grammar(&query.path, &at, findings)
                && query.path != "$.id"
                && body.find_value(&query.path).is_none()
            {
                let problem = format!(
                    "{} is not a value in jsonSchemaForInsert: a query by {field} is answered \"not supported\"",
                    query.path
                );
                findings.warn(&at, problem);
            }
        }
    }
}

fn coercions(resource: &ResourceSchema, body: &BodySchema<'_>, at: &Location<'_>, findings: &mut Findings) {
    let lists = [
        ("booleanJsonPaths", &resource.boolean_json_paths),
        ("numericJsonPaths", &resource.numeric_json_paths),
        ("dateJsonPaths", &resource.date_json_paths),
        ("dateTimeJsonPaths", &resource.date_time_json_paths),
    ];
    for (name, paths) in lists {
        for (index, json_path) in paths.iter().enumerate() {
            let at = at.member(name).item(index);
            if follows_grammar(json_path, &at, findings) && body.find_value(json_path).is_none() {
                findings
                    .warn(&at, format!("{json_path} is not a value in jsonSchemaForInsert: nothing is coerced there"));
            }
        }
    }
}

fn decimals(resource: &ResourceSchema, body: &BodySchema<'_>, at: &Location<'_>, findings: &mut Findings) {
    /// Maximum precision of `numeric(p,s)` on both engines.
    const DIGITS_MAX: u16 = 38;
    for (index, info) in resource.decimal_property_validation_infos.iter().enumerate() {
        let at = at.member("decimalPropertyValidationInfos").item(index);
        if follows_grammar(&info.path, &at.member("path"), findings) && body.find_value(&info.path).is_none() {
            findings.warn(
                &at.member("path"),
                format!("{} is not a value in jsonSchemaForInsert: the entry has no effect", info.path),
            );
        }
        if let Some(digits) = info.total_digits
            && !(1..=DIGITS_MAX).contains(&digits)
        {
            findings.refuse(
                &at.member("totalDigits"),
                format!("{digits} digits: a decimal column holds 1 to {DIGITS_MAX}"),
            );
        }
        if let (Some(digits), Some(places)) = (info.total_digits, info.decimal_places)
            && places > digits
        {
            findings.refuse(
                &at.member("decimalPlaces"),
                format!("{places} places of {digits} digits in all: correct one of them"),
            );
        }
    }
}
