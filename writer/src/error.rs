//! Errors of a write. Each variant is one problem type of docs/design/edfi-api.md#edfi-6.7. In all of them but
//! [`WriteError::OutcomeUnknown`] nothing was written.

use millstream_store::error::{ErrorKind, StoreError};
use std::collections::BTreeMap;
use thiserror::Error;

/// A refused or failed write.
#[derive(Debug, Error)]
pub enum WriteError {
    /// 400 `bad-request`: the body is not a JSON object.
    #[error("the body could not be read")]
    Malformed {
        /// Reasons, for the client.
        errors: Vec<String>,
    },
    /// 400 `bad-request:data-validation-failed`.
    #[error("the body is not valid")]
    Invalid {
        /// Messages by JSON path.
        validation_errors: BTreeMap<String, Vec<String>>,
        /// Messages that belong to no path.
        errors: Vec<String>,
    },
    /// 400 `bad-request:data-validation-failed:key-change-not-supported`.
    #[error("the identity of this resource type cannot be changed")]
    KeyChangeNotSupported {
        /// For the client.
        detail: String,
    },
    /// 400 `bad-request`: descriptor values that do not exist.
    #[error("descriptor values do not exist")]
    DescriptorNotFound {
        /// Messages by JSON path.
        validation_errors: BTreeMap<String, Vec<String>>,
    },
    /// 409 `data-conflict:unresolved-reference`.
    #[error("referenced documents do not exist")]
    UnresolvedReference {
        /// One message per reference, with path and type.
        errors: Vec<String>,
    },
    /// 409 `identity-conflict`.
    #[error("the identity is already taken")]
    IdentityConflict {
        /// For the client.
        detail: String,
    },
    /// 409 `data-conflict:dependent-item-exists`.
    #[error("other documents refer to this one")]
    DependentItemExists {
        /// Names of the referring resource types, in order.
        resources: Vec<String>,
    },
    /// 409 `identity-conflict`: the rename is too large, or would break a document that depends on it
    /// (docs/design/rules.md#rule-12, docs/design/rules.md#rule-13).
    #[error("the identity change was refused")]
    RenameRefused {
        /// For the client: the size, or the constraint and the first documents.
        detail: String,
    },
    /// 404 `not-found`.
    #[error("the document does not exist")]
    NotFound,
    /// 412 `optimistic-lock-failed`: If-Match names another version.
    #[error("the document is at another version")]
    PreconditionFailed,
    /// 412 `precondition-failed:if-none-match`.
    #[error("the document exists")]
    IfNoneMatchFailed,
    /// 503 `service-unavailable`: every attempt conflicted with concurrent writes.
    #[error("gave up after {attempts} attempts because of concurrent writes")]
    Busy {
        /// Attempts made.
        attempts: u32,
    },
    /// 503 `service-unavailable`: the bodies that wait for a transaction take all the memory that they may take.
    #[error("too many writes wait for a transaction")]
    QueueFull,
    /// 503 `service-unavailable`: the database is not available, only reads, lacks a resource, or another transaction
    /// did not release a lock in time.
    #[error("the database is not available")]
    Unavailable(#[source] StoreError),
    /// 503 `service-unavailable`: the connection broke after the commit was sent. The write is committed completely or
    /// not at all, and which of them is unknown; the request may be repeated.
    #[error("the answer of the commit was lost")]
    OutcomeUnknown(#[source] StoreError),
    /// 500 `system`: a bug, or a failure that a retry would not fix.
    #[error("the write failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl WriteError {
    /// Classifies a database failure that has no variant of its own.
    pub(crate) fn from_store(error: StoreError) -> Self {
        match error.kind() {
            ErrorKind::OutcomeUnknown => Self::OutcomeUnknown(error),
            _ if error.is_unavailable() => Self::Unavailable(error),
            _ => Self::Internal(Box::new(error)),
        }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into().into())
    }
}
