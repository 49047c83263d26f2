//! Replies about the generations of a sink.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All generations of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GenerationList {
    /// In the order of the sink.
    pub generations: Vec<GenerationEntry>,
}

/// One generation of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GenerationEntry {
    /// Its number.
    pub generation: u32,
    /// Whether searches are answered from it.
    pub live: bool,
    /// Whether a lane delivers to it.
    pub kept_current: bool,
    /// Time of its creation, in milliseconds since 1970 UTC.
    pub created_at_ms: u64,
    /// Documents in it.
    pub documents: u64,
    /// Its size.
    pub bytes: u64,
    /// Hash of the schema that its fields were derived from.
    pub schema_hash: String,
    /// Whether its fields are those of the schema in force.
    pub mapping_current: bool,
}

/// The build of a generation was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexBuildStarted {
    /// Its number.
    pub generation: u32,
    /// Its lane.
    pub targets: Vec<String>,
}

/// Another generation is live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexLive {
    /// Its number.
    pub live: u32,
}

/// A generation was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IndexDropped {
    /// Its number.
    pub dropped: u32,
}
