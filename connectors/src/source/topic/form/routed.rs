//! The output of the transform `EventRouter`: columns where `table.fields.additional.placement` puts them, in the value
//! or in headers, and one column as the payload.
//!
//! The payload is `"Kind"` if no other place has it. Without other columns in the value, the value is the payload
//! alone.

use millstream_pipeline::Change;
use serde_json::{Map, Value};

use super::record::{TopicRecord, UndecodableRecord};
use super::{columns, json};

const PAYLOAD: &str = "payload";

/// Decodes a record. The router drops deletes itself. It writes no tombstones, but the topic may contain some.
pub(super) fn decode(record: &TopicRecord<'_>) -> Result<Option<Change>, UndecodableRecord> {
    let Some(value) = json::payload(record.value)? else { return Ok(None) };
    let members = match value {
        Value::Object(members) => members,
        payload => Map::from_iter([(PAYLOAD.to_owned(), payload)]),
    };
    if json::is_heartbeat(&members) {
        return Ok(None);
    }
    if members.contains_key("op") && members.contains_key("after") {
        return Err("it is a whole envelope: it has the form debezium-envelope".into());
    }
    let header = |name: &str| {
        let (_, value) = record.headers.iter().find(|(header, _)| *header == name)?;
        std::str::from_utf8((*value)?).ok().map(Value::from)
    };
    let column = |name: &str| {
        let payload = || if name == "Kind" { members.get(PAYLOAD).cloned() } else { None };
        members.get(name).cloned().or_else(|| header(name)).or_else(payload)
    };
    columns::change(column).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_pipeline::ChangeKind;

    const UUID: &str = "84d99962-00a7-49de-a50e-8cd7641739b4";

    fn read(value: &str, headers: &[(&'static str, &'static str)]) -> Result<Option<Change>, UndecodableRecord> {
        let headers = headers.iter().map(|(name, value)| (*name, Some(value.as_bytes()))).collect();
        decode(&TopicRecord { value: Some(value.as_bytes()), headers })
    }

    #[test]
    fn columns_are_found_in_the_value_and_in_headers() {
        let value = format!(
            r#"{{"payload":"identity","TransactionId":"NzU3","DocumentId":2,"DocumentUuid":"{UUID}","ContentVersion":11}}"#
        );
        let change = read(&value, &[("id", "x"), ("OutboxId", "7"), ("ResourceKeyId", "-1")]);
        let change = change.expect("readable").expect("a change");
        assert_eq!((change.outbox_id, change.resource_key, change.kind), (7, -1, ChangeKind::Identity));
    }

    #[test]
    fn a_payload_alone_has_the_rest_in_headers() {
        let headers = [
            ("OutboxId", "7"),
            ("TransactionId", "NzU3"),
            ("DocumentId", "2"),
            ("DocumentUuid", UUID),
            ("ResourceKeyId", "3"),
            ("ContentVersion", "11"),
        ];
        for value in ["\"delete\"", r#"{"schema":{"type":"string"},"payload":"delete"}"#] {
            let change = read(value, &headers).expect("readable").expect("a change");
            assert_eq!((change.kind, change.xid), (ChangeKind::Delete, 757));
        }
        let error = read("\"delete\"", &headers[..5]).expect_err("refused");
        assert!(error.contains("ContentVersion"), "{error}");
    }

    #[test]
    fn what_was_not_routed_is_passed_over_or_named() {
        assert_eq!(read(r#"{"ts_ms":1}"#, &[]), Ok(None));
        assert!(read(r#"{"op":"c","after":{}}"#, &[]).is_err_and(|error| error.contains("debezium-envelope")));
    }
}
