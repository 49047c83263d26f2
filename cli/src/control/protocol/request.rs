//! Requests to the process of a data folder.

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
        /// Also deliver all existing documents, at this rate or as fast as possible; `None` for new changes only.
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
        /// Pause rather than resume.
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
        /// Only this queue; all of them without.
        place: Option<Target>,
    },
    /// Show one quarantined document with the body to send and the copy in the sink.
    QuarantineShow {
        /// Id of the document.
        document: Uuid,
        /// Only this queue; all of them without.
        place: Option<Target>,
    },
    /// Show an unreadable record of the queue.
    UnreadableShow {
        /// `topic/partition/offset`.
        record: String,
        /// Only this queue; all of them without.
        place: Option<Target>,
    },
    /// Discard unreadable records of the queue.
    UnreadableSkip {
        /// `topic/partition/offset` of each.
        records: Vec<String>,
        /// Only this queue; all of them without.
        place: Option<Target>,
    },
    /// Release quarantined documents for another attempt.
    QuarantineRetry {
        /// Ids of the documents; all of them without.
        documents: Option<Vec<Uuid>>,
        /// Only this queue; all of them without.
        place: Option<Target>,
    },
    /// Discard the entries of quarantined documents.
    QuarantineSkip {
        /// Ids of the documents.
        documents: Vec<Uuid>,
        /// Only this queue; all of them without.
        place: Option<Target>,
    },
    /// Reply when a copy shows everything that was committed before the request.
    Wait {
        /// A version that was given to a document; a larger one is refused.
        version: i64,
        /// Name of a sink or lane; the cache without.
        sink: Option<String>,
        /// Longest wait in milliseconds.
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
        /// Name of a sink or lane; all of them without.
        sink: Option<String>,
        /// Enqueue the differences that delivery can repair.
        repair: bool,
    },
}

impl Request {
    /// The name of the request in spans and log lines.
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
        /// Documents per second at most.
        per_s: Option<u32>,
    },
    /// Compare a generation with the cache.
    Compare {
        /// Its number; the newest without.
        generation: Option<u32>,
    },
    /// Answer searches from a generation.
    Swap {
        /// Its number; the newest without.
        generation: Option<u32>,
        /// Skip the comparison that precedes the swap.
        unchecked: bool,
    },
    /// Answer searches from the generation before the live one.
    Rollback,
    /// Remove a generation that is not live.
    Drop {
        /// Its number.
        generation: u32,
    },
}

/// A queue with pending entries: the cache queue, or the lanes of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The cache queue. Everything that is rebuilt from it is forwarded to every sink.
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
