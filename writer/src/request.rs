//! The preconditions and the outcome of a write.

use crate::error::WriteError;
use uuid::Uuid;

/// Conditions on the current version of the target document (`If-Match`, `If-None-Match`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// The target must exist at one of these versions. Wins over `if_none_match` where both are sent.
    pub if_match: Option<EtagMatch>,
    /// The target must not exist at any of these versions.
    pub if_none_match: Option<EtagMatch>,
}

impl Preconditions {
    /// Checks the target's effective version, `None` if it does not exist. `If-Match` wins where both are sent; it
    /// fails on a document that does not exist (docs/design/edfi-api.md#edfi-6.6).
    pub(crate) fn check(&self, current: Option<i64>) -> Result<(), WriteError> {
        if let Some(required) = &self.if_match {
            let matches = current.is_some_and(|version| required.matches(version));
            return if matches { Ok(()) } else { Err(WriteError::PreconditionFailed) };
        }
        let forbidden = self.if_none_match.as_ref().zip(current);
        if forbidden.is_some_and(|(tags, version)| tags.matches(version)) {
            return Err(WriteError::IfNoneMatchFailed);
        }
        Ok(())
    }
}

/// The entity tags of one conditional header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtagMatch {
    /// `*`: any existing document.
    Any,
    /// Versions. Tags that are not numbers are left out, since they match nothing.
    Versions(Vec<i64>),
}

impl EtagMatch {
    /// Whether the tags name an existing document at this effective version.
    pub fn matches(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

/// The effect of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A new document exists.
    Created,
    /// The document changed.
    Updated,
    /// The document already had the requested content: nothing was written, no version was drawn.
    Unchanged,
    /// The document is gone.
    Deleted,
}

/// The result of a write that committed or changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The effect.
    pub outcome: Outcome,
    /// Public id of the document.
    pub uuid: Uuid,
    /// Its effective version, which is its etag; for a delete, the version of the tombstone.
    pub version: i64,
}
