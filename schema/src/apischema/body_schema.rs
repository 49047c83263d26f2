//! The JSON schema of a resource's merged body: the resource's own schema and the additions of its extensions.

use super::path::{self, Segment};
use super::raw::ResourceSchema;
use serde_json::Value;

/// A body schema in parts, each with the path at which it starts. The parts are borrowed.
pub(super) struct BodySchema<'a> {
    parts: Vec<(Vec<Segment<'a>>, &'a Value)>,
}

impl<'a> BodySchema<'a> {
    pub(super) fn new(schema: &'a Value) -> Self {
        Self { parts: vec![(Vec::new(), schema)] }
    }

    /// Adds the content of a resource extension. Skips insertion locations that do not exist; the extension check
    /// refuses them.
    pub(super) fn extend(&mut self, extension: &'a ResourceSchema) {
        self.parts.push((Vec::new(), &extension.json_schema_for_insert));
        for fragment in &extension.common_extension_overrides {
            for location in &fragment.insertion_locations {
                if let Some(mut scope) = insertion_scope(location) {
                    scope.push(Segment::Member("_ext"));
                    self.parts.push((scope, &fragment.schema_fragment));
                }
            }
        }
    }

    /// Returns the schema at a path; `None` if the path does not exist.
    pub(super) fn find(&self, json_path: &str) -> Option<&'a Value> {
        self.find_segments(&path::parse(json_path)?)
    }

    pub(super) fn find_segments(&self, segments: &[Segment<'_>]) -> Option<&'a Value> {
        self.parts.iter().find_map(|(scope, schema)| descend(schema, segments.strip_prefix(scope.as_slice())?))
    }

    /// Returns the schema at a path that holds a single value: a string, number or boolean.
    pub(super) fn find_value(&self, json_path: &str) -> Option<&'a Value> {
        self.find(json_path).filter(|schema| !matches!(type_of(schema), Some("object" | "array") | None))
    }
}

/// Returns the `type` of a schema.
pub(super) fn type_of(schema: &Value) -> Option<&str> {
    schema.get("type").and_then(Value::as_str)
}

/// Follows a path into a schema.
fn descend<'a>(schema: &'a Value, segments: &[Segment<'_>]) -> Option<&'a Value> {
    segments.iter().try_fold(schema, |at, segment| match segment {
        Segment::Member(name) => at.get("properties")?.get(name),
        Segment::Items => at.get("items"),
    })
}

/// Converts a path of a JSON schema to a body path: `$.properties.addresses.items` → `$.addresses[*]`.
pub(super) fn insertion_scope(location: &str) -> Option<Vec<Segment<'_>>> {
    let mut steps = location.strip_prefix('$')?.split('.');
    if steps.next() != Some("") {
        return None;
    }
    let mut scope = Vec::new();
    while let Some(step) = steps.next() {
        scope.push(match step {
            "properties" => Segment::Member(steps.next().filter(|name| path::is_name(name))?),
            "items" => Segment::Items,
            _ => return None,
        });
    }
    Some(scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insertion_locations_are_body_paths() {
        use Segment::{Items, Member};
        assert_eq!(insertion_scope("$"), Some(vec![]));
        assert_eq!(
            insertion_scope("$.properties.addresses.items.properties.items"),
            Some(vec![Member("addresses"), Items, Member("items")])
        );
        for bad in ["", "properties.a", "$properties.a", "$.addresses", "$.properties", "$.items.x"] {
            assert_eq!(insertion_scope(bad), None, "{bad}");
        }
    }
}
