//! Debezium's own envelope: the row before and after, where it comes from, and what was done to it.

use millstream_pipeline::Change;
use serde_json::Value;

use super::{Record, columns, json};

/// The change of a record. Rows that were there already when the connector began (`r`) are changes like new ones (`c`):
/// that each comes at least once is all that is promised. Rows of the outbox are deleted (`d`) or truncated (`t`) when
/// they are old, and a message (`m`) is no row.
pub(super) fn decode(record: &Record<'_>) -> Result<Option<Change>, String> {
    let Some(value) = json::payload(record.value)? else { return Ok(None) };
    let members = json::object(value)?;
    if json::is_heartbeat(&members) {
        return Ok(None);
    }
    match members.get("op").and_then(Value::as_str) {
        Some("c" | "r" | "u") => {}
        Some("d" | "t" | "m") => return Ok(None),
        Some(other) => return Err(format!("its op is {other:?}, which this version does not know")),
        None => {
            let flattened =
                if members.contains_key("OutboxId") { ": it is of the form debezium-flattened" } else { "" };
            return Err(format!("it has no op, which an envelope of Debezium has{flattened}"));
        }
    }
    let Some(Value::Object(after)) = members.get("after") else {
        return Err("it has no row after the change (after)".to_owned());
    };
    columns::change(|name| after.get(name).cloned()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<Change>, String> {
        decode(&Record { value: Some(value.as_bytes()), headers: Vec::new() })
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
        assert_eq!(decode(&Record::default()), Ok(None), "a tombstone");
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
