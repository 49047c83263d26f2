//! Whose fault a failed batch is.

use crate::error::ProjectorError;
use millstream_store::error::{ErrorKind, StoreError};

/// What a failure of a whole batch says about the documents in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureScope {
    /// The database is busy, away, full or not what it should be: no document counts an attempt for it.
    Database,
    /// The content of some document in the batch: the batch is divided until it stands alone.
    Documents,
}

/// Decides by SQLSTATE. What is not known to be about data is held to be about the database: waiting for an operator
/// is better than to quarantine documents that nothing is wrong with.
pub(crate) fn failure_scope(error: &ProjectorError) -> FailureScope {
    match error {
        ProjectorError::Database { source, .. } => store_failure_scope(source),
        _ => FailureScope::Database,
    }
}

fn store_failure_scope(error: &StoreError) -> FailureScope {
    match error.kind() {
        // A document that takes longer than the statement timeout would hold up its whole batch for ever.
        ErrorKind::Cancelled => FailureScope::Documents,
        ErrorKind::Other => match error.sqlstate() {
            // Data exceptions, constraints, limits of one row, a damaged page.
            Some(state) if ["22", "23", "54", "XX001", "XX002"].iter().any(|class| state.starts_with(class)) => {
                FailureScope::Documents
            }
            Some(_) => FailureScope::Database,
            // No answer of the server is behind it: a value could not be read or written by this side.
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
        ProjectorError::database("testing")(StoreError::new(kind, "made for a test"))
    }

    #[test]
    fn an_outage_is_nobodys_fault_and_a_value_is_its_documents() {
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
