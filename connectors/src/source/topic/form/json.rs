//! What Kafka Connect's JSON converter makes of a value: the value alone, or beside its schema.

use serde_json::{Map, Value};

/// The members that a value with its schema has, and no others.
const SCHEMA: &str = "schema";
const PAYLOAD: &str = "payload";

/// The value without its schema; `None` if it is a tombstone, in either spelling. Numbers keep all their digits.
pub(super) fn payload(bytes: Option<&[u8]>) -> Result<Option<Value>, String> {
    let Some(bytes) = bytes else { return Ok(None) };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        format!("it is no JSON ({error}): the connector's value.converter has to be the JsonConverter")
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

/// The value's members.
pub(super) fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(members) => Ok(members),
        other => Err(format!("it is {} where an object is expected", kind_of(&other))),
    }
}

/// What a value is, for messages that must not repeat it.
pub(super) const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Whether a value is what a heartbeat of the connector carries, should a transform have routed it to this topic.
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
