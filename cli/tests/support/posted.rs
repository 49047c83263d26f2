//! What may differ between a document as it was posted and as it is read
//! (docs/design/rules.md#rule-27): server members, member order,
//! the spelling of numbers, the case of descriptor URIs, and members that say nothing or that the schema does not know.

use millstream_schema::referential::canonical_number;
use serde_json::{Map, Value};

/// What was forgiven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Forgiven {
    /// Documents with a descriptor URI in another case.
    pub(crate) descriptor_case: usize,
    /// Documents with a number spelled otherwise.
    pub(crate) number_spelling: usize,
    /// Documents that had members which say nothing, or which the schema does not know.
    pub(crate) pruned: usize,
}

/// A comparison of one document.
struct Comparison {
    forgiven: Forgiven,
    differences: Vec<String>,
}

/// Compares; the differences that nothing excuses come back as sentences.
pub(crate) fn compare(schema: &Value, posted: &Value, read: &Value, forgiven: &mut Forgiven) -> Vec<String> {
    let mut comparison = Comparison { forgiven: Forgiven::default(), differences: Vec::new() };
    let read = without_server_members(read);
    comparison.value("$", Some(schema), posted, &read);
    let found = comparison.forgiven;
    forgiven.descriptor_case += found.descriptor_case.min(1);
    forgiven.number_spelling += found.number_spelling.min(1);
    forgiven.pruned += found.pruned.min(1);
    comparison.differences
}

/// The document as a client would send it again.
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
                self.forgiven.number_spelling += 1;
            }
            (Value::String(a), Value::String(b)) if a != b => {
                let is_descriptor = path.ends_with("Descriptor") && a.to_lowercase() == b.to_lowercase();
                if !is_descriptor {
                    self.differs(path, a, b);
                }
                self.forgiven.descriptor_case += 1;
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
                None if says_nothing(value) || property.is_none() => self.forgiven.pruned += 1,
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

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(says_nothing),
        Value::Object(members) => members.values().all(says_nothing),
        _ => false,
    }
}
