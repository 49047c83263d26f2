//! Checks that a JSON schema stays within the subset that maps to tables (docs/design/edfi-schema.md#edfi-1.5). Other
//! constructs are refused, not ignored: an ignored constraint would admit documents that the schema forbids.

use crate::apischema::error::{Findings, Location};
use crate::apischema::path;
use crate::apischema::registry::{Entry, Registry};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Patterns that compiled. A Data Standard repeats a handful of them, and compiling is slow.
#[derive(Default)]
pub(super) struct Patterns(BTreeSet<String>);

/// The walk over one schema.
struct SchemaWalk<'w> {
    /// Keys allowed under `_ext`: endpoint and project names, in lower case.
    projects: BTreeSet<String>,
    /// `required` may list names without a property: in an extension's schema outside `_ext`.
    required_may_dangle: bool,
    patterns: &'w mut Patterns,
    findings: &'w mut Findings,
}

/// Checks `jsonSchemaForInsert` and the fragments of an extension.
pub(super) fn check(entry: &Entry<'_>, registry: &Registry<'_>, patterns: &mut Patterns, findings: &mut Findings) {
    let names = registry.projects.iter().flat_map(|p| [&p.schema.project_endpoint_name, &p.schema.project_name]);
    let projects = names.map(|name| name.to_lowercase()).collect();
    // Published extensions list members of `_ext.{project}` in the outer `required`; merging takes `_ext` alone.
    let required_may_dangle = entry.resource.is_resource_extension;
    let mut walk = SchemaWalk { projects, required_may_dangle, patterns, findings };
    let at = entry.location().member("jsonSchemaForInsert");
    let schema = &entry.resource.json_schema_for_insert;
    if schema.get("type").and_then(Value::as_str) == Some("object") {
        walk.object(schema, &at);
    } else {
        walk.findings.refuse(&at.member("type"), "a body is an object: expected \"type\": \"object\"");
    }
    walk.required_may_dangle = false;
    for (index, fragment) in entry.resource.common_extension_overrides.iter().enumerate() {
        let at = entry.location().member("commonExtensionOverrides").item(index).member("schemaFragment");
        walk.node(&fragment.schema_fragment, &at);
        walk.extension_projects(&fragment.schema_fragment, &at);
    }
}

impl SchemaWalk<'_> {
    fn node(&mut self, schema: &Value, at: &Location<'_>) {
        let Some(members) = schema.as_object() else {
            self.findings.refuse(at, "expected a schema object with a type");
            return;
        };
        match members.get("type") {
            Some(Value::String(kind)) => match kind.as_str() {
                "object" => self.object(schema, at),
                "array" => self.array(members, at),
                "string" => self.string(members, at),
                "integer" | "number" => self.number(members, at),
                "boolean" => self.keywords(members, at, &[]),
                _ => self.findings.refuse(
                    &at.member("type"),
                    format!("type {kind:?} has no column type: use object, array, string, integer, number or boolean"),
                ),
            },
            Some(Value::Array(_)) => {
                self.findings.refuse(
                    &at.member("type"),
                    "several types at once are not supported: give one, and x-nullable where null is meant",
                );
            }
            _ => {
                self.keywords(members, at, &["properties", "items"]);
                self.findings.refuse(&at.member("type"), "missing: every schema needs one type");
            }
        }
    }

    /// Refuses keywords other than `allowed` and those allowed everywhere.
    fn keywords(&mut self, members: &Map<String, Value>, at: &Location<'_>, allowed: &[&str]) {
        for keyword in members.keys() {
            let known = matches!(
                keyword.as_str(),
                "type" | "description" | "title" | "$schema" | "$comment" | "deprecated" | "default" | "examples"
            );
            if !known && !keyword.starts_with("x-") && !allowed.contains(&keyword.as_str()) {
                self.findings.refuse(
                    &at.member(keyword),
                    "this JSON-schema construct is not supported here: express the type without it",
                );
            }
        }
    }

    fn object(&mut self, schema: &Value, at: &Location<'_>) {
        let Some(members) = schema.as_object() else { return };
        self.keywords(members, at, &["properties", "required", "additionalProperties"]);
        if let Some(open) = members.get("additionalProperties")
            && !open.is_boolean()
        {
            self.findings.refuse(
                &at.member("additionalProperties"),
                "a schema for unnamed members is not supported: name the members, or give false",
            );
        }
        let Some(properties) = members.get("properties").and_then(Value::as_object) else {
            self.findings.refuse(
                &at.member("properties"),
                "missing or not an object: an object without named members cannot become columns",
            );
            return;
        };
        self.required(members, properties, at);
        for (name, property) in properties {
            let at = at.member("properties").member(name);
            if !path::is_name(name) {
                self.findings.refuse(&at, "a member's name must not be empty or contain blanks, dots, brackets, $ or *: paths could not name it");
            }
            if name == "_ext" {
                let outside = std::mem::take(&mut self.required_may_dangle);
                self.node(property, &at);
                self.extension_projects(property, &at);
                self.required_may_dangle = outside;
            } else {
                self.node(property, &at);
            }
        }
    }

    fn required(&mut self, members: &Map<String, Value>, properties: &Map<String, Value>, at: &Location<'_>) {
        let at = at.member("required");
        let names = match members.get("required") {
            None => return,
            Some(Value::Array(names)) => names,
            Some(_) => return self.findings.refuse(&at, "expected a list of member names"),
        };
        for (index, name) in names.iter().enumerate() {
            match name.as_str() {
                None => self.findings.refuse(&at.item(index), "expected a member name"),
                Some(name) if !self.required_may_dangle && !properties.contains_key(name) => {
                    self.findings.refuse(
                        &at.item(index),
                        format!("{name} is required but not a property: no document could be accepted"),
                    );
                }
                Some(_) => {}
            }
        }
    }

    fn extension_projects(&mut self, schema: &Value, at: &Location<'_>) {
        for name in schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            if !self.projects.contains(&name.to_lowercase()) {
                let problem =
                    format!("no loaded project has the endpoint or name {name}: load its file, or correct the key");
                self.findings.refuse(&at.member("properties").member(name), problem);
            }
        }
    }

    fn array(&mut self, members: &Map<String, Value>, at: &Location<'_>) {
        self.keywords(members, at, &["items", "minItems", "maxItems", "uniqueItems"]);
        self.counts(members, at, &["minItems", "maxItems"]);
        let at = at.member("items");
        match members.get("items") {
            Some(items @ Value::Object(item)) => {
                if item.get("type").and_then(Value::as_str) == Some("array") {
                    self.findings
                        .refuse(&at, "an array directly inside an array cannot become a table: put it into an object");
                }
                self.node(items, &at);
            }
            _ => self.findings.refuse(&at, "missing or not a single schema: give one schema for all items"),
        }
    }

    fn string(&mut self, members: &Map<String, Value>, at: &Location<'_>) {
        self.keywords(members, at, &["minLength", "maxLength", "pattern", "format"]);
        self.counts(members, at, &["minLength", "maxLength"]);
        self.format(members, at, &["date", "time", "date-time"]);
        match members.get("pattern") {
            None => {}
            Some(Value::String(pattern)) => self.pattern(pattern, &at.member("pattern")),
            Some(_) => self.findings.refuse(&at.member("pattern"), "expected a regular expression as text"),
        }
    }

    fn pattern(&mut self, pattern: &str, at: &Location<'_>) {
        if self.patterns.0.contains(pattern) {
            return;
        }
        match jsonschema::draft202012::new(&json!({ "pattern": pattern })) {
            Ok(_) => {
                self.patterns.0.insert(pattern.to_owned());
            }
            Err(error) => {
                self.findings.refuse(at, format!("{pattern:?} is not a supported regular expression: {error}"))
            }
        }
    }

    fn number(&mut self, members: &Map<String, Value>, at: &Location<'_>) {
        let bounds = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
        self.keywords(members, at, &[bounds.as_slice(), &["format"]].concat());
        for bound in bounds {
            if members.get(bound).is_some_and(|value| !value.is_number()) {
                self.findings.refuse(&at.member(bound), "expected a number");
            }
        }
        if members.get("type").and_then(Value::as_str) == Some("integer") {
            self.format(members, at, &["int32", "int64"]);
        }
    }

    fn counts(&mut self, members: &Map<String, Value>, at: &Location<'_>, names: &[&str]) {
        for name in names {
            if members.get(*name).is_some_and(|value| value.as_u64().is_none_or(|count| count > u64::from(u32::MAX))) {
                self.findings.refuse(&at.member(name), "expected a count");
            }
        }
    }

    fn format(&mut self, members: &Map<String, Value>, at: &Location<'_>, known: &[&str]) {
        match members.get("format") {
            None => {}
            Some(Value::String(format)) if known.contains(&format.as_str()) => {}
            Some(Value::String(format)) => {
                self.findings.warn(
                    &at.member("format"),
                    format!("{format:?} is unknown and not checked: the value is stored by its type alone"),
                );
            }
            Some(_) => self.findings.refuse(&at.member("format"), "expected a name"),
        }
    }
}
