//! Documents are read as they were posted, except for the differences that docs/design/rules.md#rule-27 lists.

use millstream_schema::referential::{canonical_number, lower_uri};
use serde_json::Value;

/// Holds a composed body against the one that was posted: member order, number spelling and the case of descriptor URIs
/// may differ, nothing else.
pub(crate) fn assert_same_document(posted: &Value, read: &Value, what: &str) {
    if let Err(difference) = compare("$", posted, read) {
        panic!("{what}: {difference}\nposted {posted}\nread   {read}");
    }
}

fn compare(path: &str, posted: &Value, read: &Value) -> Result<(), String> {
    match (posted, read) {
        (Value::Object(posted), Value::Object(read)) => {
            for (name, value) in posted {
                let found = read.get(name).ok_or_else(|| format!("{path}.{name} is missing"))?;
                compare(&format!("{path}.{name}"), value, found)?;
            }
            match read.keys().find(|name| !posted.contains_key(*name)) {
                Some(extra) => Err(format!("{path}.{extra} was never posted")),
                None => Ok(()),
            }
        }
        (Value::Array(posted), Value::Array(read)) if posted.len() == read.len() => {
            posted.iter().zip(read).enumerate().try_for_each(|(at, (a, b))| compare(&format!("{path}[{at}]"), a, b))
        }
        (Value::Number(a), Value::Number(b))
            if canonical_number(&a.to_string()) == canonical_number(&b.to_string()) =>
        {
            Ok(())
        }
        (Value::String(a), Value::String(b)) if path.ends_with("Descriptor") && lower_uri(a) == lower_uri(b) => Ok(()),
        (a, b) if a == b => Ok(()),
        (a, b) => Err(format!("{path}: posted {a}, read {b}")),
    }
}
