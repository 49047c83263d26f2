//! The report of `millstream verify --json`: the tables, then the sinks.

use super::proof::SinkProof;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The result of `millstream verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyReport {
    /// Documents recomputed.
    pub documents: u64,
    /// Rows of resource tables read.
    pub rows: u64,
    /// Duration of the last pass over the tables.
    pub took_ms: u64,
    /// Differences in the tables by kind.
    pub kinds: Vec<VerifyKind>,
    /// Some of the documents whose cached body is behind.
    pub behind_examples: Vec<VerifyExample>,
    /// Differences in tables and sinks.
    pub differences: u64,
    /// Documents behind in the cache and in sinks.
    pub behind: u64,
    /// The sinks.
    pub sinks: Vec<SinkProof>,
    /// The repair of the tables and the cache; null if none was necessary or asked for.
    pub repair: Option<String>,
}

/// Differences of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyKind {
    /// Name of the kind.
    pub kind: String,
    /// Number of differences.
    pub count: u64,
    /// Up to ten of them.
    pub examples: Vec<VerifyExample>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyExample {
    /// Id of the document, without dashes.
    pub id: String,
    /// Its type.
    pub resource: String,
    /// The value that follows from the rows.
    pub expected: String,
    /// The value that is stored.
    pub found: String,
}
