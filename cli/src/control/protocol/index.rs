//! Replies about the generations of a sink.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reply to a list request: all generations of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GenerationList {
    /// The generations, in ascending order of their numbers.
    pub generations: Vec<GenerationEntry>,
}

/// One generation of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GenerationEntry {
    /// Number of the generation.
    pub generation: u32,
    /// Whether searches read this generation.
    pub live: bool,
    /// Whether a lane delivers to this generation.
    pub kept_current: bool,
    /// Creation time, in milliseconds since 1970 UTC.
    pub created_at_ms: u64,
    /// Number of documents.
    pub documents: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Hash of the schema from which the fields were derived.
    pub schema_hash: String,
    /// Whether the fields match the current schema.
    pub mapping_current: bool,
}

/// Reply to a build request: the new generation and its lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexBuildStarted {
    /// Number of the generation.
    pub generation: u32,
    /// Name of the lane that fills the generation, as the only item.
    pub targets: Vec<String>,
}

/// Reply to a swap or rollback: the generation that is live now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexLive {
    /// Number of the live generation.
    pub live: u32,
}

/// Reply to a drop request: the removed generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexDropped {
    /// Number of the removed generation.
    pub dropped: u32,
}
