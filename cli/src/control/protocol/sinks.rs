//! Replies about sinks, replays and waits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sink was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SinkAdded {
    /// Its lane.
    pub lane: String,
}

/// A sink was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SinkRemoved {
    /// The lanes that were removed.
    pub removed: Vec<String>,
}

/// Lanes were paused or resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SinkPaused {
    /// The lanes.
    pub lanes: Vec<String>,
    /// Whether they are paused now.
    pub paused: bool,
}

/// A replay was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayStarted {
    /// Entries that it will enqueue, as counted at its start.
    pub total: u64,
    /// `cache`, or the names of lanes.
    pub targets: Vec<String>,
}

/// Replays were cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayCancelled {
    /// The targets whose replay was running.
    pub cancelled: Vec<String>,
}

/// A copy has caught up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitDone {
    /// The version that was asked for.
    pub version: i64,
}
