//! JSON-schema validation, compiled once at start.

use super::findings::Findings;
use super::pattern::{PATTERN, Patterns};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Validator};
use millstream_schema::plan::{Mapping, ResourceKeyId};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// A schema that is not a valid JSON schema, or has a pattern that does not compile; displays its resource type and the
/// cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidJsonSchema(String);

/// One compiled validator per resource type.
#[derive(Debug)]
pub struct Validators(HashMap<ResourceKeyId, Validator>);

impl Validators {
    /// Compiles the JSON schemas of all resources.
    ///
    /// # Errors
    /// The first schema that does not compile.
    pub fn compile(mapping: &Mapping) -> Result<Self, InvalidJsonSchema> {
        let mut compiled = HashMap::with_capacity(mapping.resources.len());
        let patterns = Arc::new(Patterns::default());
        for resource in &mapping.resources {
            let patterns = Arc::clone(&patterns);
            let validator = jsonschema::options()
                .with_draft(Draft::Draft202012)
                // Dates and times are parsed into their storage types, which is the stricter check.
                .should_validate_formats(false)
                .with_keyword(PATTERN, move |parent, value, path| patterns.keyword(parent, value, path))
                .build(&resource.json_schema)
                .map_err(|error| {
                    InvalidJsonSchema(format!("{}.{}: {error}", resource.project_name, resource.resource_name))
                })?;
            compiled.insert(resource.key, validator);
        }
        Ok(Self(compiled))
    }

    pub(super) fn check(&self, key: ResourceKeyId, body: &Value, findings: &mut Findings) {
        let Some(validator) = self.0.get(&key) else { return };
        for error in validator.iter_errors(body) {
            if findings.is_cut() {
                return;
            }
            let at = json_path(error.instance_path().as_str(), body);
            match error.kind() {
                ValidationErrorKind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    findings.add(&format!("{at}.{name}"), format!("{name} is required."));
                }
                ValidationErrorKind::Custom { keyword, .. } if keyword == PATTERN => {
                    findings.add(&at, pattern_message(error.instance().as_ref(), &at))
                }
                _ => findings.add(&at, message(&error.to_string())),
            }
        }
    }
}

fn pattern_message(value: &Value, path: &str) -> String {
    let leaf = path.rsplit('.').next().unwrap_or(path);
    match value.as_str() {
        Some(text) if text.trim() != text || text.is_empty() => {
            format!("{leaf} cannot contain leading or trailing spaces.")
        }
        _ => format!("{leaf} does not match the required pattern."),
    }
}

/// Removes the value from the message: the library repeats it, however long it is.
fn message(text: &str) -> String {
    const LENGTH_MAX: usize = 300;
    match text.char_indices().nth(LENGTH_MAX) {
        None => text.to_owned(),
        Some(_) => {
            let tail: Vec<char> = text.chars().rev().take(80).collect();
            let head: String = text.chars().take(LENGTH_MAX - 80).collect();
            format!("{head} … {}", tail.into_iter().rev().collect::<String>())
        }
    }
}

/// `/addresses/0/city` → `$.addresses[0].city`. A segment is an index only where the body has an array.
fn json_path(pointer: &str, body: &Value) -> String {
    let mut path = "$".to_owned();
    let mut at = Some(body);
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        match at {
            Some(Value::Array(items)) => {
                path.push_str(&format!("[{segment}]"));
                at = segment.parse::<usize>().ok().and_then(|index| items.get(index));
            }
            other => {
                path.push_str(&format!(".{segment}"));
                at = other.and_then(|value| value.get(&segment));
            }
        }
    }
    path
}
