//! Requests to the running process, sent over the control socket in its data folder.

use millstream_projector::replay::Spec;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Report the state of every component.
    Status,
    /// Deliver to one more sink.
    SinkAdd {
        /// Name of the sink.
        sink: String,
        /// Backfill of the existing documents: `Some(Some(n))` at up to `n` documents per second, `Some(None)` as fast
        /// as possible, `None` for new changes only.
        backfill: Option<Option<u32>>,
    },
    /// Stop delivering to a sink.
    SinkRemove {
        /// Name of the sink or of a lane.
        sink: String,
    },
    /// Pause or resume the lanes of a sink.
    SinkPause {
        /// Name of the sink or of a lane.
        sink: String,
        /// `true` to pause, `false` to resume.
        paused: bool,
    },
    /// Enqueue documents again.
    Replay {
        /// The cache or a sink.
        target: Target,
        /// Selection and rate.
        spec: Spec,
    },
    /// Cancel the running replay.
    ReplayCancel {
        /// The cache or a sink.
        target: Target,
    },
    /// List quarantined documents and unreadable records.
    QuarantineList {
        /// Restricts the request to this queue; `None` means all queues.
        place: Option<Target>,
    },
    /// Show one quarantined document with the body to send and the copy in the sink.
    QuarantineShow {
        /// Id of the document.
        document: Uuid,
        /// Restricts the request to this queue; `None` means all queues.
        place: Option<Target>,
    },
    /// Show an unreadable record of the queue.
    UnreadableShow {
        /// `topic/partition/offset`.
        record: String,
        /// Restricts the request to this queue; `None` means all queues.
        place: Option<Target>,
    },
    /// Discard unreadable records of the queue.
    UnreadableSkip {
        /// `topic/partition/offset` of each.
        records: Vec<String>,
        /// Restricts the request to this queue; `None` means all queues.
        place: Option<Target>,
    },
    /// Release quarantined documents for another attempt.
    QuarantineRetry {
        /// Ids of the documents; `None` means all.
        documents: Option<Vec<Uuid>>,
        /// Restricts the request to this queue; `None` means all queues.
        place: Option<Target>,
    },
    /// Discard the entries of quarantined documents.
    QuarantineSkip {
        /// Ids of the documents.
        documents: Vec<Uuid>,
        /// Restricts the request to this queue; `None` means all queues.
        place: Option<Target>,
    },
    /// Reply when a copy shows everything that was committed before the request.
    Wait {
        /// A ContentVersion that was assigned; a version above the newest is an error.
        version: i64,
        /// Name of a sink or lane; `None` means the cache.
        sink: Option<String>,
        /// Maximum wait in milliseconds.
        timeout_ms: u64,
    },
    /// Work with the generations of a sink.
    Index {
        /// Name of the sink.
        sink: String,
        /// The operation.
        action: IndexAction,
    },
    /// Compare sinks with the cache.
    Prove {
        /// Name of a sink or lane; `None` means all sinks.
        sink: Option<String>,
        /// Enqueue the differences that delivery can repair.
        repair: bool,
        /// Restricts the comparison; absent for all documents.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<ProveOnly>,
    },
    /// Compose documents again and deliver them, even at an equal version, and forget remembered identities.
    Rebuild {
        /// Ids of the documents.
        documents: Vec<Uuid>,
    },
}

/// The documents that a comparison of sinks is restricted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProveOnly {
    /// These documents, read from the sink by id.
    Documents(Vec<Uuid>),
    /// Documents of one type, by `ResourceKeyId`.
    Resource(i16),
}

impl Request {
    /// Returns the name of the request for spans and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::SinkAdd { .. } => "sink_add",
            Self::SinkRemove { .. } => "sink_remove",
            Self::SinkPause { .. } => "sink_pause",
            Self::Replay { .. } => "replay",
            Self::ReplayCancel { .. } => "replay_cancel",
            Self::QuarantineList { .. } => "quarantine_list",
            Self::QuarantineShow { .. } => "quarantine_show",
            Self::UnreadableShow { .. } => "unreadable_show",
            Self::UnreadableSkip { .. } => "unreadable_skip",
            Self::QuarantineRetry { .. } => "quarantine_retry",
            Self::QuarantineSkip { .. } => "quarantine_skip",
            Self::Wait { .. } => "wait",
            Self::Index { .. } => "index",
            Self::Prove { .. } => "prove",
            Self::Rebuild { .. } => "rebuild",
        }
    }
}

/// An operation on the generations of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexAction {
    /// List all generations.
    List,
    /// Create and fill the next generation.
    Build {
        /// Maximum rate in documents per second.
        per_s: Option<u32>,
    },
    /// Compare a generation with the cache.
    Compare {
        /// Number of the generation; `None` means the newest.
        generation: Option<u32>,
    },
    /// Make a generation live, so that searches read it.
    Swap {
        /// Number of the generation; `None` means the newest.
        generation: Option<u32>,
        /// Skip the comparison that precedes the swap.
        unchecked: bool,
    },
    /// Make the generation before the live one live again.
    Rollback,
    /// Remove a generation that is not live.
    Drop {
        /// Number of the generation.
        generation: u32,
    },
}

/// A queue with pending entries: the cache queue, or the lanes of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The cache queue. Every document that is rebuilt from it is forwarded to all sinks.
    Cache,
    /// A sink or one of its lanes.
    Sink(String),
}

impl Target {
    /// Parses `cache` or the name of a sink or lane.
    pub fn named(name: &str) -> Self {
        if name == "cache" { Self::Cache } else { Self::Sink(name.to_owned()) }
    }
}
