//! One attempt at a write, and when to make another
//! (docs/design/rules.md#rule-11,
//! docs/design/edfi-identity.md#edfi-7.7).

use crate::error::WriteError;
use millstream_store::error::ErrorKind;
use millstream_store::error::StoreError;
use millstream_store::retry::{RetryError, Retryable};
use std::fmt;

/// Why an attempt did not commit.
#[derive(Debug)]
pub(crate) enum AttemptError {
    /// The answer to the client, now and after any number of attempts.
    Refused(WriteError),
    /// What was read before the locks is no longer so: do the whole transaction again.
    StartOver(&'static str),
    /// The identity was taken by a concurrent insert: again, to find it; a conflict if it stays.
    IdentityTaken,
    /// A referenced document went away between resolution and insert: again, to name it.
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
            Self::Store(error) => error.fmt(f),
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
    /// Sorts a failure of the statements that write rows of a type whose root table is `root`.
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

/// What the client gets when the last attempt failed.
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
        AttemptError::Store(error) if error.is_retryable() => WriteError::Busy { attempts },
        AttemptError::Store(error) => WriteError::from_store(error),
    }
}
