//! Decodes the columns of a `dms.Outbox` row, in the JSON that Debezium writes, into a change.
//!
//! * `bigint` and `smallint` are JSON numbers with all digits; in a header they are text.
//! * `uuid` and `varchar` are text.
//! * `"TransactionId"` has a type that Debezium does not know (`xid8`). Debezium omits such columns unless
//!   `include.unknown.datatypes=true` is set, and then sends the bytes of their text: in JSON the base64 of the digits.
//! * `"CreatedAt"` is not needed. No column is decimal, so `decimal.handling.mode` and `time.precision.mode` have no
//!   effect.
//!
//! Other columns are ignored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use millstream_pipeline::Change;
use serde_json::Value;

use super::json::kind_of;
use super::record::UndecodableRecord;

/// Decodes a row. `column` returns a column by its name in the table.
///
/// # Errors
/// A column is missing or cannot be decoded; the message names it.
pub(super) fn change(column: impl Fn(&str) -> Option<Value>) -> Result<Change, UndecodableRecord> {
    let get = |name: &str| match column(name) {
        Some(value) if !value.is_null() => Ok(value),
        _ => Err(UndecodableRecord(missing(name))),
    };
    let kind = text(&get("Kind")?, "Kind")?;
    let document_uuid = text(&get("DocumentUuid")?, "DocumentUuid")?;
    Ok(Change {
        outbox_id: integer(&get("OutboxId")?, "OutboxId")?,
        xid: transaction_id(&get("TransactionId")?)?,
        document_id: integer(&get("DocumentId")?, "DocumentId")?,
        document_uuid: document_uuid
            .parse()
            .map_err(|_| format!("the column DocumentUuid holds {document_uuid:?}, which is not a uuid"))?,
        resource_key: integer(&get("ResourceKeyId")?, "ResourceKeyId")?,
        kind: kind.parse().map_err(|error: millstream_pipeline::UnknownChangeKind| error.to_string())?,
        content_version: integer(&get("ContentVersion")?, "ContentVersion")?,
    })
}

fn missing(name: &str) -> String {
    let cause = match name {
        "TransactionId" => {
            ": set include.unknown.datatypes=true in the connector; without it Debezium omits xid8 columns"
        }
        _ => ": the connector has to send every column of dms.Outbox except CreatedAt",
    };
    format!("it has no column {name}{cause}")
}

fn text(value: &Value, name: &str) -> Result<String, UndecodableRecord> {
    let wrong = || format!("the column {name} is {}, not a string", kind_of(value)).into();
    value.as_str().map(str::to_owned).ok_or_else(wrong)
}

fn integer<T: std::str::FromStr>(value: &Value, name: &str) -> Result<T, UndecodableRecord> {
    let digits = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        other => return Err(format!("the column {name} is {}, not a number", kind_of(other)).into()),
    };
    let wrong = |_| format!("the column {name} holds {digits:?}, which is not an integer of its type").into();
    digits.parse().map_err(wrong)
}

/// Decodes a number, or the base64 of its digits. Plain digits in a string are refused: they could also be the
/// hexadecimal form of the digits (`binary.handling.mode=hex`), and a wait for the wrong transaction would never end.
fn transaction_id(value: &Value) -> Result<u64, UndecodableRecord> {
    let Value::String(text) = value else { return integer(value, "TransactionId") };
    let digits = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let number = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    number.and_then(|digits| digits.parse().ok()).ok_or_else(|| {
        format!(
            "the column TransactionId holds {text:?}, which is not the base64 of a number: keep the connector's \
             binary.handling.mode at bytes, and do not transform the column"
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_pipeline::ChangeKind;
    use serde_json::{Map, json};

    fn row() -> Map<String, Value> {
        let row = json!({
            "OutboxId": 9_007_199_254_740_993_i64,
            "TransactionId": "NzU3",
            "DocumentId": i64::MAX,
            "DocumentUuid": "84d99962-00a7-49de-a50e-8cd7641739b4",
            "ResourceKeyId": -1,
            "Kind": "delete",
            "ContentVersion": 11,
            "CreatedAt": "2026-11-21T15:03:17.710595Z",
        });
        row.as_object().cloned().expect("an object")
    }

    fn read(name: &str, value: Option<Value>) -> Result<Change, UndecodableRecord> {
        let mut row = row();
        match value {
            Some(value) => drop(row.insert(name.to_owned(), value)),
            None => drop(row.remove(name)),
        }
        change(|name| row.get(name).cloned())
    }

    #[test]
    fn a_row_is_read_to_the_last_digit() {
        let change = read("CreatedAt", None).expect("a change");
        assert_eq!((change.outbox_id, change.xid, change.document_id), (9_007_199_254_740_993, 757, i64::MAX));
        assert_eq!((change.resource_key, change.kind, change.content_version), (-1, ChangeKind::Delete, 11));
        assert_eq!(change.document_uuid.to_string(), "84d99962-00a7-49de-a50e-8cd7641739b4");
    }

    #[test]
    fn a_transaction_id_is_a_number_or_the_base64_of_one() {
        for (value, expected) in
            [(json!("MTg0NDY3NDQwNzM3MDk1NTE2MTU="), u64::MAX), (json!("Mw=="), 3), (json!(757), 757)]
        {
            assert_eq!(read("TransactionId", Some(value)).map(|change| change.xid), Ok(expected));
        }
        for wrong in [json!("757"), json!("373537"), json!("AvU="), json!(""), json!(-1), json!(1.5), json!([7])] {
            let error = read("TransactionId", Some(wrong.clone())).expect_err("refused");
            assert!(error.contains("TransactionId"), "{wrong}: {error}");
        }
    }

    #[test]
    fn headers_hold_numbers_as_text() {
        assert_eq!(read("ResourceKeyId", Some(json!("3"))).map(|change| change.resource_key), Ok(3));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value, word) in [
            ("TransactionId", None, "include.unknown.datatypes"),
            ("Kind", None, "every column"),
            ("Kind", Some(json!("merge")), "upgrade"),
            ("Kind", Some(json!(1)), "not a string"),
            ("ResourceKeyId", Some(json!(40_000)), "of its type"),
            ("ContentVersion", Some(json!(1.0)), "of its type"),
            ("ContentVersion", Some(Value::Null), "no column ContentVersion"),
            ("DocumentUuid", Some(json!("x")), "not a uuid"),
        ] {
            let error = read(name, value).expect_err("refused");
            assert!(error.contains(name) || name == "Kind", "{error} does not name {name}");
            assert!(error.contains(word), "{error} does not say {word}");
        }
    }
}
