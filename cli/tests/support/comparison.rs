//! Compares a posted document with the document as read. Permitted differences (docs/design/rules.md#rule-27): server
//! members, member order, the spelling of numbers, the case of descriptor URIs, and the absence of members that are
//! empty or unknown to the schema.

use millstream_schema::referential::canonical_number;
use serde_json::{Map, Value};

/// Number of documents with each kind of permitted difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tolerated {
    /// Documents with a descriptor URI in different case.
    pub(crate) descriptor_case: usize,
    /// Documents with a number in a different spelling.
    pub(crate) number_spelling: usize,
    /// Documents with empty members or members unknown to the schema.
    pub(crate) pruned: usize,
}

/// The state of one comparison.
struct Comparison {
    tolerated: Tolerated,
    differences: Vec<String>,
}

/// Compares two documents. Counts the permitted differences in `tolerated` and returns the others.
pub(crate) fn compare(schema: &Value, posted: &Value, read: &Value, tolerated: &mut Tolerated) -> Vec<String> {
    let mut comparison = Comparison { tolerated: Tolerated::default(), differences: Vec::new() };
    let read = without_server_members(read);
    comparison.value("$", Some(schema), posted, &read);
    let found = comparison.tolerated;
    tolerated.descriptor_case += found.descriptor_case.min(1);
    tolerated.number_spelling += found.number_spelling.min(1);
    tolerated.pruned += found.pruned.min(1);
    comparison.differences
}

/// Returns the document without server members, as a client would send it again.
pub(crate) fn without_server_members(read: &Value) -> Value {
    let mut body = read.clone();
    if let Some(members) = body.as_object_mut() {
        for name in ["id", "_etag", "_lastModifiedDate"] {
            members.shift_remove(name);
        }
    }
    body
}

impl Comparison {
    fn value(&mut self, path: &str, schema: Option<&Value>, posted: &Value, read: &Value) {
        match (posted, read) {
            (Value::Object(posted), Value::Object(read)) => self.object(path, schema, posted, read),
            (Value::Array(posted), Value::Array(read)) => {
                if posted.len() != read.len() {
                    self.differs(path, &posted.len(), &read.len());
                    return;
                }
                let items = schema.and_then(|schema| schema.get("items"));
                for (at, (posted, read)) in posted.iter().zip(read).enumerate() {
                    self.value(&format!("{path}[{at}]"), items, posted, read);
                }
            }
            (Value::Number(a), Value::Number(b)) if a != b => {
                let (canonical, other) = (canonical_number(a.as_str()), canonical_number(b.as_str()));
                if canonical.is_none() || canonical != other {
                    self.differs(path, a, b);
                }
                self.tolerated.number_spelling += 1;
            }
            (Value::String(a), Value::String(b)) if a != b => {
                let is_descriptor = path.ends_with("Descriptor") && a.to_lowercase() == b.to_lowercase();
                if !is_descriptor {
                    self.differs(path, a, b);
                }
                self.tolerated.descriptor_case += 1;
            }
            _ if posted == read => {}
            _ => self.differs(path, posted, read),
        }
    }

    fn object(&mut self, path: &str, schema: Option<&Value>, posted: &Map<String, Value>, read: &Map<String, Value>) {
        let known = schema.and_then(|schema| schema.get("properties"));
        for (name, value) in posted {
            let below = format!("{path}.{name}");
            let property = known.and_then(|known| known.get(name));
            match read.get(name) {
                Some(read) => self.value(&below, property, value, read),
                None if is_empty(value) || property.is_none() => self.tolerated.pruned += 1,
                None => self.differs(&below, value, &"nothing"),
            }
        }
        for (name, value) in read {
            if !posted.contains_key(name) {
                self.differs(&format!("{path}.{name}"), &"nothing", value);
            }
        }
    }

    fn differs(&mut self, path: &str, posted: &dyn std::fmt::Debug, read: &dyn std::fmt::Debug) {
        self.differences.push(format!("{path}: posted {posted:?}, read {read:?}"));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(members) => members.values().all(is_empty),
        _ => false,
    }
}
