//! The query of one comparison of a field.

use millstream_search::Comparison;
use serde_json::{Value, json};

use super::super::mapping::DOCUMENT;

/// Returns the index field of a path of the body.
pub(super) fn field_name(path: &str) -> String {
    format!("{DOCUMENT}.{path}")
}

/// Returns the query for a comparison of the field with this name.
pub(super) fn compare(name: &str, comparison: &Comparison) -> Value {
    match comparison {
        Comparison::Equal(value) => json!({ "term": { name: { "value": value.to_json() } } }),
        Comparison::Uri(uri) => json!({ "term": { format!("{name}.uri"): { "value": uri } } }),
        Comparison::Code(code) => json!({ "term": { format!("{name}.code"): { "value": code } } }),
        Comparison::Above(value) => json!({ "range": { name: { "gt": value.to_json() } } }),
        Comparison::AtLeast(value) => json!({ "range": { name: { "gte": value.to_json() } } }),
        Comparison::Below(value) => json!({ "range": { name: { "lt": value.to_json() } } }),
        Comparison::AtMost(value) => json!({ "range": { name: { "lte": value.to_json() } } }),
    }
}
