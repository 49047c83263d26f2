//! Checks the bodies of descriptors: one table stores all types, so every body must have its shape
//! (docs/design/edfi-schema.md#edfi-1.5).

use crate::apischema::error::Findings;
use crate::apischema::raw::DESCRIPTOR_MEMBERS;
use crate::apischema::registry::Entry;
use serde_json::{Map, Value};

/// Members that every descriptor has.
const REQUIRED: [&str; 2] = ["namespace", "codeValue"];

/// Checks a descriptor's schema against the shape.
pub(super) fn check(entry: &Entry<'_>, findings: &mut Findings) {
    let schema = &entry.resource.json_schema_for_insert;
    let at = entry.location().member("jsonSchemaForInsert");
    // The JSON-schema check refuses a schema that is not an object schema.
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required = schema.get("required").and_then(Value::as_array);
    for name in REQUIRED {
        if !required.is_some_and(|names| names.iter().any(|n| n == name)) {
            findings.refuse(&at.member("required"), format!("a descriptor is found by {name}: list it here"));
        }
    }
    for (name, property) in properties {
        let at = at.member("properties").member(name);
        match DESCRIPTOR_MEMBERS.iter().find(|(member, _)| member == name) {
            None => findings.refuse(&at, "a descriptor has no such member: dms.Descriptor could not hold it"),
            Some((_, longest)) => {
                if let Some(problem) = misfit(property.as_object(), *longest) {
                    findings.refuse(&at, problem);
                }
            }
        }
    }
}

/// Returns why a member does not fit its column: text of at most `longest` characters, or a date if that is `None`.
fn misfit(property: Option<&Map<String, Value>>, longest: Option<u32>) -> Option<String> {
    let text = |name: &str| property?.get(name)?.as_str();
    if text("type") != Some("string") {
        return Some("expected \"type\": \"string\"".to_owned());
    }
    match longest {
        None => (text("format") != Some("date")).then(|| "expected \"format\": \"date\"".to_owned()),
        Some(longest) => {
            let length = property?.get("maxLength")?.as_u64()?;
            (length > u64::from(longest))
                .then(|| format!("maxLength {length} is more than the {longest} that dms.Descriptor holds"))
        }
    }
}
