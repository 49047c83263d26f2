//! Debezium's envelope: the row before and after, its source, and the operation.

use millstream_pipeline::Change;
use serde_json::Value;

use super::record::{TopicRecord, UndecodableRecord};
use super::{columns, json};

/// Decodes a record. Rows of the initial snapshot (`r`) are changes like new ones (`c`): the source promises
/// at-least-once delivery only. Deletes (`d`) and truncations (`t`) remove old outbox rows, and a message (`m`) is not
/// a row.
pub(super) fn decode(record: &TopicRecord<'_>) -> Result<Option<Change>, UndecodableRecord> {
    let Some(value) = json::payload(record.value)? else { return Ok(None) };
    let members = json::object(value)?;
    if json::is_heartbeat(&members) {
        return Ok(None);
    }
    match members.get("op").and_then(Value::as_str) {
        Some("c" | "r" | "u") => {}
        Some("d" | "t" | "m") => return Ok(None),
        Some(other) => return Err(format!("its op {other:?} is unknown to this version").into()),
        None => {
            let flattened = if members.contains_key("OutboxId") { ": it has the form debezium-flattened" } else { "" };
            return Err(format!("it has no op, so it is not an envelope of Debezium{flattened}").into());
        }
    }
    let Some(Value::Object(after)) = members.get("after") else {
        return Err("it has no row after the change (after)".into());
    };
    columns::change(|name| after.get(name).cloned()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<Change>, UndecodableRecord> {
        decode(&TopicRecord { value: Some(value.as_bytes()), headers: Vec::new() })
    }

    #[test]
    fn what_is_no_new_row_is_passed_over() {
        for value in [
            r#"{"before":{"OutboxId":1},"after":null,"source":{},"op":"d"}"#,
            r#"{"before":null,"after":null,"op":"t"}"#,
            r#"{"op":"m","message":{"prefix":"millstream.heartbeat","content":""}}"#,
            r#"{"ts_ms":1795273383839}"#,
            r#"{"schema":{"type":"struct"},"payload":{"ts_ms":1795273383839}}"#,
            r#"{"schema":null,"payload":null}"#,
        ] {
            assert_eq!(read(value), Ok(None), "{value}");
        }
        assert_eq!(decode(&TopicRecord::default()), Ok(None), "a tombstone");
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for (value, word) in [
            (r#"{"op":"x"}"#, "\"x\""),
            (r#"{"OutboxId":1}"#, "debezium-flattened"),
            (r#"{"after":{}}"#, "no op"),
            (r#"{"op":"c","after":null}"#, "after"),
            ("[]", "an array"),
        ] {
            let error = read(value).expect_err("refused");
            assert!(error.contains(word), "{error} does not say {word}");
        }
    }
}
