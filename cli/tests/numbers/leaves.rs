//! The leaves of a status, each under its path.

use serde_json::Value;

/// One value of the status.
pub(crate) struct Leaf {
    /// `lanes/*/depth`.
    pub(crate) pattern: String,
    /// `lanes/kafka/depth`.
    pub(crate) path: String,
    /// The lane that it belongs to, if any.
    pub(crate) lane: Option<String>,
    pub(crate) value: Value,
}

/// All of them.
pub(crate) fn of(status: &Value) -> Vec<Leaf> {
    let mut all = Vec::new();
    walk(status, ("", ""), None, &mut all);
    all
}

fn walk(value: &Value, (pattern, path): (&str, &str), lane: Option<&str>, all: &mut Vec<Leaf>) {
    let below = |parent: &str, name: &str| if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                walk(member, (&below(pattern, name), &below(path, name)), lane, all);
            }
        }
        Value::Array(items) => {
            for item in items {
                let name = item["name"].as_str().expect("what is listed in a status has a name");
                walk(item, (&below(pattern, "*"), &below(path, name)), Some(name), all);
            }
        }
        leaf => all.push(Leaf {
            pattern: pattern.to_owned(),
            path: path.to_owned(),
            lane: lane.map(str::to_owned),
            value: leaf.clone(),
        }),
    }
}
