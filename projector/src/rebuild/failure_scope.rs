//! Attributing the failure of a batch to the database, to a lock, or to a document.

use crate::error::ProjectorError;
use millstream_store::error::{ErrorKind, StoreError};

/// The cause of a batch failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureScope {
    /// The database is overloaded, unreachable, full or misconfigured. No document is charged an attempt.
    Database,
    /// Another transaction holds the row of some document in the batch. The batch is divided until that document is
    /// alone; it is tried again later and not charged an attempt.
    Locked,
    /// The server cancelled the statement: it was overloaded, an operator cancelled it, or some document takes too long.
    /// The batch is divided; see [`CancelledRebuilds`](super::cancelled::CancelledRebuilds).
    Cancelled,
    /// The content of some document in the batch. The batch is divided until that document is alone.
    Documents,
}

/// Classifies by kind and SQLSTATE. A failure that is not known to concern data counts as a database failure: waiting
/// for an operator is better than quarantining documents without a fault.
pub(super) fn failure_scope(error: &ProjectorError) -> FailureScope {
    match error {
        ProjectorError::Database { source, .. } => store_failure_scope(source),
        _ => FailureScope::Database,
    }
}

/// Data exceptions, constraints, limits of one row, a damaged page or index.
const OF_DATA: [&str; 5] = ["22", "23", "54", "XX001", "XX002"];

fn store_failure_scope(error: &StoreError) -> FailureScope {
    match error.kind() {
        ErrorKind::LockTimeout => FailureScope::Locked,
        ErrorKind::Cancelled => FailureScope::Cancelled,
        ErrorKind::UniqueViolation { .. } | ErrorKind::ForeignKeyViolation { .. } | ErrorKind::Value => {
            FailureScope::Documents
        }
        ErrorKind::Other if error.sqlstate().is_some_and(|state| OF_DATA.iter().any(|of| state.starts_with(of))) => {
            FailureScope::Documents
        }
        _ => FailureScope::Database,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(kind: ErrorKind) -> FailureScope {
        failure_scope(&ProjectorError::database("testing", StoreError::new(kind, "made for a test")))
    }

    #[test]
    fn only_a_failure_that_is_known_to_concern_data_is_charged_to_documents() {
        let missing_table = ErrorKind::Schema { message: "relation does not exist".to_owned() };
        for kind in [
            ErrorKind::Connect,
            ErrorKind::ConnectionLost,
            ErrorKind::OutcomeUnknown,
            ErrorKind::ReadOnly,
            ErrorKind::Resources,
            ErrorKind::Deadlock,
            ErrorKind::Other,
            missing_table,
        ] {
            assert_eq!(scope(kind.clone()), FailureScope::Database, "{kind:?}");
        }
        for kind in [ErrorKind::Value, ErrorKind::UniqueViolation { constraint: String::new() }] {
            assert_eq!(scope(kind), FailureScope::Documents);
        }
        assert_eq!(scope(ErrorKind::LockTimeout), FailureScope::Locked);
        assert_eq!(scope(ErrorKind::Cancelled), FailureScope::Cancelled);
    }
}
