//! The report of `millstream verify --json`: the tables, then the sinks.

use super::proof::SinkProof;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Documents with a difference in the tables or behind in the cache, without dashes, up to 1,000.
    pub concerned: Vec<String>,
    /// Documents concerned that are not listed; at least so many.
    pub concerned_more: u64,
    /// The repair of the tables and the cache; null if none was necessary or asked for.
    pub repair: Option<RepairReport>,
}

/// A repair, or what it would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepairReport {
    /// Nothing was changed: the report says what would be.
    pub dry_run: bool,
    /// The documents that were repaired, up to 1,000.
    pub documents: Vec<RepairedDocument>,
    /// Repaired documents that are not listed.
    pub documents_more: u64,
    /// Differences that do not follow from the rows of a document and were left, by kind.
    pub left: BTreeMap<String, u64>,
    /// Findings about documents beyond those that one run repairs.
    pub beyond: u64,
    /// Bodies that were enqueued to be composed and delivered again.
    pub enqueued: u64,
    /// The next step for the operator.
    pub next: String,
    /// The second verification, of exactly the documents concerned; null after a dry run.
    pub verified: Option<SecondVerification>,
}

/// The repair of one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RepairedDocument {
    /// Id of the document, without dashes.
    pub id: String,
    /// Its type.
    pub resource: String,
    /// The steps, in order.
    pub actions: Vec<String>,
    /// Damage that was left, and why.
    pub left: Vec<String>,
}

/// The verification after a repair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecondVerification {
    /// Documents verified.
    pub documents: u64,
    /// Differences left, in tables and sinks.
    pub differences: u64,
    /// Documents behind in the cache and in sinks.
    pub behind: u64,
    /// The differences in the tables by kind.
    pub kinds: BTreeMap<String, u64>,
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
