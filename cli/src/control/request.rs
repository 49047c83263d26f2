//! What the process of a data folder can be asked to do.

use millstream_projector::replay::Spec;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Say how everything is doing.
    Status,
    /// Deliver to one more sink.
    SinkAdd {
        /// Which one.
        sink: String,
        /// Give it all there is as well, at this rate or as fast as it goes; nothing of it without.
        backfill: Option<Option<u32>>,
    },
    /// Deliver to it no more.
    SinkRemove {
        /// Which one.
        sink: String,
    },
    /// Hold its lane back, or let it go again.
    SinkPause {
        /// Which one.
        sink: String,
        /// Hold it back.
        paused: bool,
    },
    /// Owe documents again.
    Replay {
        /// To whom.
        target: Target,
        /// Which, and how fast.
        spec: Spec,
    },
    /// End the replay that runs.
    ReplayCancel {
        /// Whose.
        target: Target,
    },
    /// What is in quarantine.
    QuarantineList {
        /// Where; everywhere without.
        place: Option<Place>,
    },
    /// One document in quarantine, with what would be sent and what the sink has.
    QuarantineShow {
        /// Which document.
        document: Uuid,
        /// Where; everywhere without.
        place: Option<Place>,
    },
    /// A record of the queue that nobody could read.
    UnreadableShow {
        /// `topic/partition/offset`.
        record: String,
        /// Where; everywhere without.
        place: Option<Place>,
    },
    /// Let go of records of the queue that nobody could read.
    UnreadableSkip {
        /// `topic/partition/offset` of each.
        records: Vec<String>,
        /// Where; everywhere without.
        place: Option<Place>,
    },
    /// Try again what is in quarantine.
    QuarantineRetry {
        /// Which documents; all of them without.
        documents: Option<Vec<Uuid>>,
        /// Where; everywhere without.
        place: Option<Place>,
    },
    /// Give up what is owed to documents in quarantine.
    QuarantineSkip {
        /// Which documents.
        documents: Vec<Uuid>,
        /// Where; everywhere without.
        place: Option<Place>,
    },
    /// Answer when a copy shows everything that was committed.
    Wait {
        /// A version that has to be among it.
        version: i64,
        /// Which sink; the cache without.
        sink: Option<String>,
        /// How long to wait.
        timeout_ms: u64,
    },
    /// Do something with the generations of a sink.
    Index {
        /// Which sink.
        sink: String,
        /// What.
        action: IndexAction,
    },
    /// Compare sinks with the cache.
    Prove {
        /// Which; all without.
        sink: Option<String>,
        /// Mend what can be mended.
        repair: bool,
    },
}

/// What is to be done with the generations of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexAction {
    /// Say which there are.
    List,
    /// Make and fill the next one.
    Build {
        /// So many documents a second at most.
        per_s: Option<u32>,
    },
    /// Compare one with the cache.
    Compare {
        /// Which one; the newest without.
        generation: Option<u32>,
    },
    /// Answer searches from it.
    Swap {
        /// From which one; the newest without.
        generation: Option<u32>,
        /// Do not compare it first.
        unchecked: bool,
    },
    /// Answer searches from the one before.
    Rollback,
    /// Remove one that is not live.
    Drop {
        /// Which one.
        generation: u32,
    },
}

/// Who is owed documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The cache, and with it every sink.
    Cache,
    /// One sink.
    Sink(String),
}

/// Where something can be in quarantine.
pub type Place = Target;

impl Target {
    /// `cache`, or the name of a sink.
    pub fn named(name: &str) -> Self {
        if name == "cache" { Self::Cache } else { Self::Sink(name.to_owned()) }
    }
}
