//! The reply to a comparison of sinks with the cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The comparison of one or more sinks with the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProofReport {
    /// One report per lane.
    pub sinks: Vec<SinkProof>,
}

/// The report of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SinkProof {
    /// The sink was compared.
    Compared(Box<SinkComparison>),
    /// The sink cannot be compared by this process.
    NotCompared {
        /// Name of the lane.
        lane: String,
        /// Why not, and what to do.
        not_compared: String,
    },
    /// The comparison failed.
    Failed {
        /// Name of the lane.
        lane: String,
        /// The error with its causes.
        error: String,
    },
}

impl SinkProof {
    /// The name of the lane.
    pub fn lane(&self) -> &str {
        match self {
            Self::Compared(comparison) => &comparison.lane,
            Self::NotCompared { lane, .. } | Self::Failed { lane, .. } => lane,
        }
    }
}

/// A sink that was read to its end and compared with the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SinkComparison {
    /// Name of the lane.
    pub lane: String,
    /// Description of the sink.
    pub sink: String,
    /// Documents compared.
    pub compared: u64,
    /// Differences found.
    pub differences: u64,
    /// Differences by kind.
    pub counts: BTreeMap<String, u64>,
    /// Up to ten differences of each kind.
    pub examples: BTreeMap<String, Vec<FindingExample>>,
    /// Documents that changed during the comparison and are not current in the sink yet.
    pub behind: u64,
    /// Differences that were enqueued for repair.
    pub mended: u64,
    /// Differences that cannot be repaired one by one; null without a repair.
    pub unmended: Option<u64>,
    /// Duration of the comparison.
    pub took_ms: u64,
    /// Pending entries of the lane.
    pub waiting: u64,
    /// Which process delivers the enqueued repairs; absent if the replying process does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mended_by: Option<String>,
    /// Documents of which the sink holds a version newer than the source's, up to 1,000: they need a new version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newer: Vec<Uuid>,
    /// The largest version that the sink holds of them; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newer_version_max: Option<i64>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingExample {
    /// Id of the document.
    pub id: Uuid,
    /// Its type, as in the URL; null if it is not known.
    pub resource: Option<String>,
    /// The version in the cache, or that of the delete.
    pub expected: Option<i64>,
    /// The version in the sink.
    pub found: Option<i64>,
}
