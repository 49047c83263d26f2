//! The reply to a request to rebuild single documents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Documents were enqueued to be composed and delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RebuildEnqueued {
    /// Documents enqueued: those that exist.
    pub enqueued: u64,
}
