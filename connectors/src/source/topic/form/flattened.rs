//! The output of the transform `ExtractNewRecordState`: the row alone. Members that it adds begin with two underscores.

use millstream_pipeline::Change;
use serde_json::{Map, Value};

use super::record::{TopicRecord, UndecodableRecord};
use super::{columns, json};

/// Decodes a record. A deleted outbox row is a tombstone or, if the transform rewrites deletes, a row with `__deleted`.
pub(super) fn decode(record: &TopicRecord<'_>) -> Result<Option<Change>, UndecodableRecord> {
    let Some(value) = json::payload(record.value)? else { return Ok(None) };
    let row = json::object(value)?;
    if json::is_heartbeat(&row) || is_deleted(&row) {
        return Ok(None);
    }
    if row.contains_key("op") && row.contains_key("after") {
        return Err("it is a whole envelope: it has the form debezium-envelope".into());
    }
    columns::change(|name| row.get(name).cloned()).map(Some)
}

fn is_deleted(row: &Map<String, Value>) -> bool {
    let is = |name, what| row.get(name).and_then(Value::as_str) == Some(what);
    is("__deleted", "true") || is("__op", "d") || is("__op", "t")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<Change>, UndecodableRecord> {
        decode(&TopicRecord { value: Some(value.as_bytes()), headers: Vec::new() })
    }

    #[test]
    fn deleted_rows_are_passed_over() {
        for value in [r#"{"OutboxId":1,"__deleted":"true"}"#, r#"{"OutboxId":1,"__op":"d"}"#, r#"{"ts_ms":1}"#] {
            assert_eq!(read(value), Ok(None), "{value}");
        }
        assert_eq!(decode(&TopicRecord::default()), Ok(None), "a tombstone");
    }

    #[test]
    fn added_members_do_no_harm() {
        let row = r#"{"OutboxId":1,"TransactionId":"NzU3","DocumentId":2,
            "DocumentUuid":"84d99962-00a7-49de-a50e-8cd7641739b4","ResourceKeyId":3,"Kind":"touch","ContentVersion":4,
            "__deleted":"false","__op":"c","__lsn":26742016,"Later":{"a":[1]}}"#;
        assert!(matches!(read(row), Ok(Some(Change { outbox_id: 1, xid: 757, .. }))));
    }

    #[test]
    fn a_whole_envelope_is_named_as_such() {
        let error = read(r#"{"op":"c","after":{}}"#).expect_err("refused");
        assert!(error.contains("debezium-envelope"), "{error}");
    }
}
