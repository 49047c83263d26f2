//! The output of Kafka Connect's JSON converter: the value alone, or together with its schema.

use serde_json::{Map, Value};

use super::record::UndecodableRecord;

/// The only members of a value with its schema.
const SCHEMA: &str = "schema";
const PAYLOAD: &str = "payload";

/// Decodes the value without its schema; `None` for a tombstone, in either representation. Numbers keep all digits.
pub(super) fn payload(bytes: Option<&[u8]>) -> Result<Option<Value>, UndecodableRecord> {
    let Some(bytes) = bytes else { return Ok(None) };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        format!("it is not JSON ({error}): the connector's value.converter has to be the JsonConverter")
    })?;
    let value = match value {
        Value::Object(mut members) if is_wrapped(&members) => members.remove(PAYLOAD).unwrap_or_default(),
        other => other,
    };
    Ok(if value.is_null() { None } else { Some(value) })
}

fn is_wrapped(members: &Map<String, Value>) -> bool {
    members.len() == 2
        && members.get(SCHEMA).is_some_and(|schema| schema.is_object() || schema.is_null())
        && members.contains_key(PAYLOAD)
}

/// Returns the members of an object.
pub(super) fn object(value: Value) -> Result<Map<String, Value>, UndecodableRecord> {
    match value {
        Value::Object(members) => Ok(members),
        other => Err(format!("it is {}, not an object", kind_of(&other)).into()),
    }
}

/// Returns the kind of a value, for messages that must not contain it.
pub(super) const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Returns whether the members are those of a connector's heartbeat, which a transform may have routed to this topic.
pub(super) fn is_heartbeat(members: &Map<String, Value>) -> bool {
    members.len() == 1 && members.contains_key("ts_ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_of_their_schema() {
        let read = |text: &str| payload(Some(text.as_bytes()));
        assert_eq!(read(r#"{"schema":{"type":"string"},"payload":"x"}"#), Ok(Some(Value::from("x"))));
        assert_eq!(read(r#"{"schema":null,"payload":null}"#), Ok(None));
        assert_eq!(read("null"), Ok(None));
        assert_eq!(payload(None), Ok(None));
        for whole in [r#"{"payload":"x"}"#, r#"{"schema":"dms","payload":1}"#, r#"{"schema":null,"payload":1,"x":2}"#] {
            assert_eq!(read(whole), Ok(Some(serde_json::from_str(whole).expect("JSON"))), "not a schema");
        }
        assert!(read("\u{1}").is_err_and(|error| error.contains("JsonConverter")));
    }
}
