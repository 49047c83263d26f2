//! Describes the difference between an index's mapping and the mapping of the schema.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use millstream_pipeline::sink::SinkError;

use super::cluster::Cluster;
use super::mapping::IndexMapping;
use super::request::Request;

/// Maximum number of fields listed per index; the rest is counted.
const NAMED_MAX: usize = 5;

#[derive(Deserialize)]
struct MappingBody {
    mappings: MappingProperties,
}

#[derive(Deserialize)]
struct MappingProperties {
    #[serde(default)]
    properties: Value,
}

/// Lists the fields of an index that are missing, that the schema no longer has, or that have another type.
pub(super) async fn describe(cluster: &Cluster, index: &str, expected: &IndexMapping) -> Result<String, SinkError> {
    let response = cluster.send(Request::get(&[index, "_mapping"])).await?;
    let mut found: BTreeMap<String, MappingBody> = cluster.parse(response, "cannot read a mapping")?;
    let properties = found.remove(index).map(|found| found.mappings.properties).unwrap_or_default();
    Ok(format!("{index} {}", differences(&expected.properties, &properties)))
}

fn differences(expected: &Value, found: &Value) -> String {
    let (expected, found) = (types(expected), types(found));
    let missing = expected.keys().filter(|path| !found.contains_key(*path)).map(|path| format!("misses {path}"));
    let gone = found.keys().filter(|path| !expected.contains_key(*path)).map(|path| format!("still has {path}"));
    let changed = expected.iter().filter_map(|(path, wants)| {
        let has = found.get(path).filter(|has| *has != wants)?;
        Some(format!("has {path} as {has} instead of {wants}"))
    });
    let all: Vec<String> = missing.chain(changed).chain(gone).collect();
    match all.len().checked_sub(NAMED_MAX) {
        _ if all.is_empty() => "has fields with other settings".to_owned(),
        None | Some(0) => all.join(", "),
        Some(more) => format!("{}, and {more} more", all[..NAMED_MAX].join(", ")),
    }
}

/// Returns the types of all fields by path. The node reports other settings in a form of its own, so they are not
/// compared.
fn types(properties: &Value) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    let mut pending = vec![(String::new(), properties)];
    while let Some((parent, properties)) = pending.pop() {
        for (name, field) in properties.as_object().into_iter().flatten() {
            let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
            pending.extend(["properties", "fields"].iter().filter_map(|inner| Some((path.clone(), field.get(inner)?))));
            if let Some(kind) = field.get("type").and_then(Value::as_str) {
                types.insert(path, kind.to_owned());
            }
        }
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_named_by_what_became_of_them() {
        let wanted = json!({ "document": { "properties": {
            "city": { "type": "keyword", "fields": { "words": { "type": "text" } } },
            "born": { "type": "date" },
            "periods": { "type": "nested", "properties": { "begin": { "type": "date" } } },
        } } });
        let found = json!({ "document": { "properties": {
            "city": { "type": "keyword" },
            "born": { "type": "keyword", "ignore_above": 5 },
            "old": { "type": "long" },
            "periods": { "type": "nested", "properties": { "begin": { "type": "date" } } },
        } } });
        let expected =
            "misses document.city.words, has document.born as keyword instead of date, still has document.old";
        assert_eq!(differences(&wanted, &found), expected);
        assert_eq!(differences(&wanted, &wanted), "has fields with other settings");
        let text = differences(&wanted, &json!({}));
        assert!(text.starts_with("misses document.born, ") && !text.contains("more"), "{text}");
    }
}
