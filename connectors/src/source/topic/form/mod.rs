//! The encodings of change records in a topic.
//!
//! Each form has a file that decodes the records of its writer. They share the received record ([`record`]), the JSON
//! converter's envelope ([`json`]), and the columns of `dms.Outbox` ([`columns`]).

mod columns;
mod envelope;
mod flattened;
mod json;
mod millstream;
mod record;
mod routed;

use std::fmt;
use std::str::FromStr;

use millstream_pipeline::Change;

pub(super) use millstream::{BEGINNING, encode, key};
pub(super) use record::{TopicRecord, UndecodableRecord};

/// The encoding of the records of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordForm {
    /// Millstream's own, as [`super::ChangeTopicWriter`] writes it.
    Millstream,
    /// A Debezium connector's envelope: `before`, `after`, `source`, `op`.
    DebeziumEnvelope,
    /// The envelope after the transform `ExtractNewRecordState`: the row alone.
    DebeziumFlattened,
    /// The envelope after the transform `EventRouter`: columns in the value, in headers, or in both.
    DebeziumRouter,
}

impl RecordForm {
    /// Every form, in the order of the enum.
    pub const ALL: [Self; 4] =
        [Self::Millstream, Self::DebeziumEnvelope, Self::DebeziumFlattened, Self::DebeziumRouter];

    /// Returns the name of the form in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Millstream => "millstream",
            Self::DebeziumEnvelope => "debezium-envelope",
            Self::DebeziumFlattened => "debezium-flattened",
            Self::DebeziumRouter => "debezium-router",
        }
    }

    /// Decodes a record into its change; `None` for a record without one: a heartbeat, a pruned outbox row, a
    /// tombstone.
    ///
    /// # Errors
    /// The record does not have this form.
    pub(super) fn decode(self, record: &TopicRecord<'_>) -> Result<Option<Change>, UndecodableRecord> {
        match self {
            Self::Millstream => millstream::decode(record),
            Self::DebeziumEnvelope => envelope::decode(record),
            Self::DebeziumFlattened => flattened::decode(record),
            Self::DebeziumRouter => routed::decode(record),
        }
    }
}

impl fmt::Display for RecordForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is not a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown form of change records {0:?}: expected millstream, debezium-envelope, debezium-flattened or debezium-router"
)]
pub struct UnknownRecordForm(pub String);

impl FromStr for RecordForm {
    type Err = UnknownRecordForm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|form| form.as_str() == text).ok_or_else(|| UnknownRecordForm(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for form in RecordForm::ALL {
            assert_eq!(form.to_string().parse(), Ok(form));
        }
        assert!("debezium".parse::<RecordForm>().is_err());
    }

    #[test]
    fn hostile_bytes_are_an_error_or_nothing_and_never_a_panic() {
        let hostile: [&[u8]; 12] = [
            b"",
            b"{",
            b"null",
            b"0",
            b"[]",
            b"{}",
            b"\xFF\xFE",
            b"\x01",
            b"{\"payload\":{}}",
            b"{\"op\":7}",
            b"{\"op\":\"c\",\"after\":[]}",
            b"{\"after\":{\"OutboxId\":1e400}}",
        ];
        for form in RecordForm::ALL {
            for value in hostile {
                let decoded = form.decode(&TopicRecord { value: Some(value), headers: Vec::new() });
                assert!(!matches!(decoded, Ok(Some(_))), "{form} read a change out of {value:?}");
            }
        }
    }

    /// Records of a real connector; connectors/tests/debezium/README.md says how they were recorded.
    #[test]
    fn recorded_values_are_read_as_their_rows() {
        let lines = |text: &str| -> Vec<serde_json::Value> {
            text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
        };
        let expected = lines(include_str!("../../../../tests/debezium/changes.jsonl"));
        for (form, text) in [
            (RecordForm::DebeziumEnvelope, include_str!("../../../../tests/debezium/envelope.jsonl")),
            (RecordForm::DebeziumEnvelope, include_str!("../../../../tests/debezium/schemas.jsonl")),
            (RecordForm::DebeziumEnvelope, include_str!("../../../../tests/debezium/everything.jsonl")),
            (RecordForm::DebeziumFlattened, include_str!("../../../../tests/debezium/flattened.jsonl")),
            (RecordForm::DebeziumRouter, include_str!("../../../../tests/debezium/router.jsonl")),
        ] {
            let read = lines(text).into_iter().filter_map(|line| {
                let value = line["value"].as_str().map(str::as_bytes);
                let change = form.decode(&TopicRecord { value, headers: Vec::new() }).expect("readable")?;
                Some(serde_json::json!({
                    "outbox_id": change.outbox_id,
                    "xid": change.xid,
                    "document_id": change.document_id,
                    "document_uuid": change.document_uuid,
                    "resource_key": change.resource_key,
                    "kind": change.kind.as_str(),
                    "content_version": change.content_version,
                }))
            });
            assert_eq!(read.collect::<Vec<_>>(), expected, "{form}");
        }
    }
}
