//! What is different between the mapping of an index and the one that the schema gives, in words.

use std::collections::BTreeMap;

use opensearch::indices::IndicesGetMappingParts;
use serde::Deserialize;
use serde_json::Value;

use millstream_pipeline::sink::SinkError;

use super::cluster::Cluster;
use super::mapping::IndexMapping;

/// Fields of one index that are named; how many more there are is said.
const NAMED_MAX: usize = 5;

#[derive(Deserialize)]
struct IndexMappings {
    mappings: Mappings,
}

#[derive(Deserialize)]
struct Mappings {
    #[serde(default)]
    properties: Value,
}

/// Names the fields of an index that are missing, that the schema does not have any more, and that are of another type.
pub(super) async fn name(cluster: &Cluster, index: &str, wanted: &IndexMapping) -> Result<String, SinkError> {
    let only = [index];
    let indices = cluster.client.api.indices();
    let request = indices.get_mapping(IndicesGetMappingParts::Index(&only)).send();
    let mut found: BTreeMap<String, IndexMappings> =
        cluster.read(cluster.ask(request).await?, "a mapping could not be read")?;
    let properties = found.remove(index).map(|found| found.mappings.properties).unwrap_or_default();
    Ok(format!("{index} {}", words(&wanted.properties, &properties)))
}

fn words(wanted: &Value, found: &Value) -> String {
    let (wanted, found) = (types(wanted), types(found));
    let missing = wanted.keys().filter(|path| !found.contains_key(*path)).map(|path| format!("misses {path}"));
    let gone = found.keys().filter(|path| !wanted.contains_key(*path)).map(|path| format!("still has {path}"));
    let changed = wanted.iter().filter_map(|(path, wants)| {
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

/// Types of all fields by their paths. What else a field is set to, the node gives back in its own words.
fn types(properties: &Value) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    let mut open = vec![(String::new(), properties)];
    while let Some((around, properties)) = open.pop() {
        for (name, field) in properties.as_object().into_iter().flatten() {
            let path = if around.is_empty() { name.clone() } else { format!("{around}.{name}") };
            open.extend(["properties", "fields"].iter().filter_map(|inner| Some((path.clone(), field.get(inner)?))));
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
        assert_eq!(words(&wanted, &found), expected);
        assert_eq!(words(&wanted, &wanted), "has fields with other settings");
        let text = words(&wanted, &json!({}));
        assert!(text.starts_with("misses document.born, ") && !text.contains("more"), "{text}");
    }
}
