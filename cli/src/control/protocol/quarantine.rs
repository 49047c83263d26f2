//! Replies about quarantined documents and unreadable records.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Quarantined documents and unreadable records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineReport {
    /// Quarantined documents.
    pub quarantined: Vec<QuarantineEntry>,
    /// Unreadable records; absent in the reply about one document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Vec<UnreadableRecord>>,
}

impl QuarantineReport {
    /// The unreadable records.
    pub fn unreadable(&self) -> &[UnreadableRecord] {
        self.unreadable.as_deref().unwrap_or_default()
    }
}

/// A document whose rebuild or delivery failed too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineEntry {
    /// `cache`, or the name of the lane.
    pub place: String,
    /// Id of the document.
    pub id: Uuid,
    /// Its type, as in the URL; null if the schema does not have it.
    pub resource: Option<String>,
    /// Its version.
    pub version: i64,
    /// Whether the entry is a delete.
    pub deleted: bool,
    /// The last error.
    pub reason: String,
    /// Failed attempts.
    pub attempts: u32,
    /// Time of the first failure since the last newer version, in milliseconds since 1970 UTC.
    pub first_failed_at_ms: u64,
    /// Time of the last failure, in milliseconds since 1970 UTC.
    pub last_failed_at_ms: u64,
    /// The delivery, if one document of a lane was asked for.
    #[serde(flatten)]
    pub view: Option<SinkView>,
}

/// A quarantined delivery beside the copy in the sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SinkView {
    /// Description of the sink.
    pub sink: String,
    /// Size of the delivery; null if there is nothing to deliver yet.
    pub bytes: Option<usize>,
    /// The body to deliver; null for a delete.
    pub sent: Option<String>,
    /// The copy in the sink.
    pub held: SinkCopy,
}

/// The copy of a document in a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SinkCopy {
    /// The sink could not be read.
    Failed {
        /// The error with its causes.
        error: String,
    },
    /// The body; null if the sink does not have the document.
    Body(Option<String>),
}

/// A record of the queue that could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnreadableRecord {
    /// `cache`, or the name of the lane.
    pub place: String,
    /// `topic/partition/offset`.
    pub record: String,
    /// The parse error.
    pub reason: String,
    /// Size of the record.
    pub bytes: usize,
    /// The record with non-printable bytes escaped, if one record was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Entries were released from quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntriesReleased {
    /// Their number.
    pub released: u64,
}

/// Entries or records were discarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntriesSkipped {
    /// Their number.
    pub skipped: u64,
}
