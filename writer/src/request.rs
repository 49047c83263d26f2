//! What a write is asked with, and what it answers.

use uuid::Uuid;

/// Conditions on the current version of the target document (`If-Match`, `If-None-Match`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// The target must exist at one of these versions. Wins over `if_none_match` where both are sent.
    pub if_match: Option<EtagMatch>,
    /// The target must not exist at any of these versions.
    pub if_none_match: Option<EtagMatch>,
}

/// The entity tags of one conditional header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtagMatch {
    /// `*`: any existing document.
    Any,
    /// Versions; tags that are no numbers were left out, since they match nothing.
    Versions(Vec<i64>),
}

impl EtagMatch {
    /// Whether an existing document at this effective version is named.
    pub fn matches(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A new document exists.
    Created,
    /// The document changed.
    Updated,
    /// The document already was what the request asked for: nothing was written, no version was drawn.
    Unchanged,
    /// The document is gone.
    Deleted,
}

/// The answer of a committed (or needless) write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// What happened.
    pub outcome: Outcome,
    /// Public id of the document.
    pub uuid: Uuid,
    /// Its effective version, which is its etag; for a delete, the version of the tombstone.
    pub version: i64,
}
