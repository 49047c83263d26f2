//! The single values of a status, each with its path.

use serde_json::Value;

/// One value of the status.
pub(crate) struct StatusValue {
    /// Path with `*` for names, such as `lanes/*/depth`.
    pub(crate) pattern: String,
    /// Path, such as `lanes/kafka/depth`.
    pub(crate) path: String,
    /// Name of the lane, if the value belongs to one.
    pub(crate) lane: Option<String>,
    pub(crate) value: Value,
}

/// Returns all values of a status.
pub(crate) fn all(status: &Value) -> Vec<StatusValue> {
    let mut all = Vec::new();
    walk(status, ("", ""), None, &mut all);
    all
}

fn walk(value: &Value, (pattern, path): (&str, &str), lane: Option<&str>, all: &mut Vec<StatusValue>) {
    let below = |parent: &str, name: &str| if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, (&below(pattern, name), &below(path, name)), lane, all);
            }
        }
        Value::Array(items) => {
            for item in items {
                let name = item["name"].as_str().expect("an item of a status has a name");
                walk(item, (&below(pattern, "*"), &below(path, name)), Some(name), all);
            }
        }
        value => all.push(StatusValue {
            pattern: pattern.to_owned(),
            path: path.to_owned(),
            lane: lane.map(str::to_owned),
            value: value.clone(),
        }),
    }
}
