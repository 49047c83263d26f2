//! The failures of one attempt at a write, and when to make another
//! (docs/design/rules.md#rule-11, docs/design/edfi-identity.md#edfi-7.7).

use crate::error::WriteError;
use millstream_store::error::{ErrorKind, StoreError};
use millstream_store::retry::{RetryError, Retryable};
use millstream_store::transaction::WriteTransaction;
use std::fmt;

/// Why an attempt did not commit.
#[derive(Debug)]
pub(crate) enum AttemptError {
    /// The answer to the client, after any number of attempts.
    Refused(WriteError),
    /// A value read before the locks has changed: do the whole transaction again.
    StartOver(&'static str),
    /// A concurrent insert took the identity: try again to find it; a conflict if it stays taken.
    IdentityTaken,
    /// Other transactions did not release the locks of a rename in one round of waiting: try again after a pause, in
    /// which those who wait for the turnstile pass.
    LocksHeld(StoreError),
    /// A referenced document was deleted between resolution and insert: try again to name it.
    ReferenceGone,
    /// The database failed.
    Store(StoreError),
}

impl Retryable for AttemptError {
    fn retry_reason(&self) -> Option<&'static str> {
        match self {
            Self::Refused(_) => None,
            Self::StartOver(reason) => Some(reason),
            Self::IdentityTaken => Some("identity taken"),
            Self::ReferenceGone => Some("reference gone"),
            Self::LocksHeld(_) => Some("locks held"),
            Self::Store(error) => error.retry_reason(),
        }
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::StartOver(reason) => f.write_str(reason),
            Self::IdentityTaken => f.write_str("identity taken"),
            Self::ReferenceGone => f.write_str("reference gone"),
            Self::LocksHeld(error) | Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<StoreError> for AttemptError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<tokio_postgres::Error> for AttemptError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<WriteError> for AttemptError {
    fn from(error: WriteError) -> Self {
        Self::Refused(error)
    }
}

impl AttemptError {
    /// Classifies a failure of the statements that write rows of a type whose root table is `root`.
    pub(crate) fn of_write(error: StoreError, root: &str) -> Self {
        match error.kind() {
            ErrorKind::UniqueViolation { .. } => match error.table() {
                Some("ReferentialIdentity" | "Descriptor") => Self::IdentityTaken,
                Some(table) if table == root => Self::IdentityTaken,
                _ => {
                    let constraint = error.constraint().unwrap_or_default();
                    let message = format!("Items of a collection have the same identifying values ({constraint}).");
                    Self::Refused(WriteError::Invalid { validation_errors: Default::default(), errors: vec![message] })
                }
            },
            ErrorKind::ForeignKeyViolation { .. } => Self::ReferenceGone,
            _ => Self::Store(error),
        }
    }
}

impl AttemptError {
    /// The failure of collecting the locks of a rename.
    pub(crate) fn of_round(self) -> Self {
        match self {
            Self::Store(error) if *error.kind() == ErrorKind::LockTimeout => Self::LocksHeld(error),
            other => other,
        }
    }
}

/// Rolls back and returns the reason. If the rollback fails, the connection is closed, which rolls back as well.
pub(crate) async fn abandon<T>(
    transaction: WriteTransaction,
    reason: impl Into<AttemptError>,
) -> Result<T, AttemptError> {
    if let Err(error) = transaction.rollback().await {
        tracing::debug!(%error, "rollback failed; closing the connection instead");
    }
    Err(reason.into())
}

/// The client's error after the last attempt failed.
pub(crate) fn final_error(error: RetryError<AttemptError>) -> WriteError {
    let attempts = if let RetryError::Exhausted { attempts, .. } = &error { *attempts } else { 1 };
    match error.into_last() {
        AttemptError::Refused(error) => error,
        AttemptError::StartOver(_) => WriteError::Busy { attempts },
        AttemptError::IdentityTaken => WriteError::IdentityConflict {
            detail: "The identifying value(s) of the item are the same as another item that already exists.".to_owned(),
        },
        AttemptError::ReferenceGone => {
            WriteError::UnresolvedReference { errors: vec!["A referenced item was deleted meanwhile.".to_owned()] }
        }
        AttemptError::LocksHeld(error) => WriteError::Unavailable(error),
        AttemptError::Store(error) if error.is_retryable() => WriteError::Busy { attempts },
        AttemptError::Store(error) => WriteError::from_store(error),
    }
}
