//! Deliveries and their outcomes.

use bytes::Bytes;
use uuid::Uuid;

/// A document's key in sinks. It never contains the DocumentId, which has no meaning outside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    /// The public id.
    pub uuid: Uuid,
    /// `ResourceKeyId` of its type.
    pub resource_key: i16,
}

/// One version of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The document.
    pub key: DocumentKey,
    /// Its ContentVersion, which only grows, deletes included.
    pub version: i64,
    /// Its content at this version.
    pub content: Content,
    /// The sink may hold damaged bytes at this version: overwrite them.
    pub repair: bool,
}

/// The content of a document at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes of a GET response: the body with `id`, `_etag` and `_lastModifiedDate`.
    Document(Bytes),
    /// The document was deleted.
    Deleted,
}

impl Delivery {
    /// Returns the size of the document in bytes; 0 for a delete.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Document(json) => json.len(),
            Content::Deleted => 0,
        }
    }
}

/// The outcome of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The sink holds exactly this.
    Done,
    /// The sink holds a newer version, or already holds this one.
    Superseded,
    /// The sink is not known to hold this: put it again.
    Retry {
        /// The cause, which decides about attempts and concurrency.
        cause: RetryCause,
        /// The failure, for the operator.
        reason: String,
    },
    /// The sink rejects this document, and would again.
    Rejected {
        /// The sink's response, for the operator.
        reason: String,
    },
}

impl Outcome {
    /// Returns [`Outcome::Retry`].
    pub fn retry(cause: RetryCause, reason: impl Into<String>) -> Self {
        Self::Retry { cause, reason: reason.into() }
    }
}

/// The cause of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryCause {
    /// The sink asked for less load (429, 503, a full queue). Counts no attempt; lowers the concurrency.
    Throttled,
    /// The sink could not be reached. Counts no attempt: no document is at fault.
    Unavailable,
    /// The request was sent and its response is missing or incomplete. The sink may still carry it out, for as long as
    /// [`Limits::request_life_max`](super::Limits::request_life_max).
    Unanswered,
    /// This document failed in a way that may pass. Counts an attempt.
    Failed,
}
