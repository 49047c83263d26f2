//! Attributing the failure of a batch to the database or to a document.

use crate::error::ProjectorError;
use millstream_store::error::{ErrorKind, StoreError};

/// The cause of a batch failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureScope {
    /// The database is overloaded, unreachable, full or misconfigured. No document is charged an attempt.
    Database,
    /// The content of some document in the batch. The batch is divided until that document is alone.
    Documents,
}

/// Classifies by SQLSTATE. A state that is not known to concern data counts as a database failure: waiting for an
/// operator is better than quarantining documents without a fault.
pub(super) fn failure_scope(error: &ProjectorError) -> FailureScope {
    match error {
        ProjectorError::Database { source, .. } => store_failure_scope(source),
        _ => FailureScope::Database,
    }
}

fn store_failure_scope(error: &StoreError) -> FailureScope {
    match error.kind() {
        // A document that exceeds the statement timeout would block its batch forever.
        ErrorKind::Cancelled => FailureScope::Documents,
        ErrorKind::Other => match error.sqlstate() {
            // Data exceptions, constraints, limits of one row, a damaged page.
            Some(state) if ["22", "23", "54", "XX001", "XX002"].iter().any(|class| state.starts_with(class)) => {
                FailureScope::Documents
            }
            Some(_) => FailureScope::Database,
            // Not an answer of the server: this side could not encode or decode a value.
            None => FailureScope::Documents,
        },
        ErrorKind::UniqueViolation { .. } | ErrorKind::ForeignKeyViolation { .. } => FailureScope::Documents,
        _ => FailureScope::Database,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> ProjectorError {
        ProjectorError::database("testing", StoreError::new(kind, "made for a test"))
    }

    #[test]
    fn an_outage_concerns_the_database_and_a_value_its_document() {
        for kind in [ErrorKind::ConnectionLost, ErrorKind::Deadlock, ErrorKind::LockTimeout] {
            assert_eq!(failure_scope(&error(kind)), FailureScope::Database);
        }
        let missing_table = ErrorKind::Schema { message: "relation does not exist".to_owned() };
        assert_eq!(failure_scope(&error(missing_table)), FailureScope::Database);
        for kind in [ErrorKind::Other, ErrorKind::Cancelled, ErrorKind::UniqueViolation { constraint: String::new() }] {
            assert_eq!(failure_scope(&error(kind)), FailureScope::Documents);
        }
    }
}
