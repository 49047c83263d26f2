//! Classification of the replication client's errors.

use millstream_pipeline::source::SourceError;
use millstream_store::error::is_transient;
use pgwire_replication::PgWireError;

use crate::source::failure::SourceFailure;

/// SQLSTATEs of a slot whose WAL is gone.
const SLOT_LOST: [&str; 2] = [
    "58P01", // a WAL segment has been removed
    "55000", // the slot was invalidated
];

/// Returns the SQLSTATE that the client appends to a server's message.
pub(super) fn sqlstate(message: &str) -> Option<&str> {
    let (_, code) = message.rsplit_once("(SQLSTATE ")?;
    code.strip_suffix(')').filter(|code| code.len() == 5)
}

/// Classifies an error of the replication client while doing `what` with `slot`.
pub(super) fn classify(what: &str, slot: &str, error: &PgWireError) -> SourceFailure {
    let refused =
        |detail: &str| SourceFailure::Stop(SourceError::Refused { what: what.to_owned(), detail: detail.to_owned() });
    match error {
        PgWireError::Io(_) | PgWireError::Task(_) | PgWireError::Internal(_) => SourceFailure::Retry(error.to_string()),
        PgWireError::Server(message) => match sqlstate(message) {
            // A standby answers so to every question about its own log.
            Some("55000") if message.contains("recovery is in progress") => SourceFailure::Retry(message.clone()),
            Some(code) if is_transient(code) => SourceFailure::Retry(error.to_string()),
            // A server that is not set up for logical decoding at all reports the same code.
            Some(code) if SLOT_LOST.contains(&code) && !message.contains("wal_level") => {
                SourceFailure::Stop(SourceError::Lost { what: format!("slot {slot}"), detail: message.clone() })
            }
            _ => refused(message),
        },
        _ => refused(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(message: &str) -> &'static str {
        match classify("following", "s", &PgWireError::Server(message.to_owned())) {
            SourceFailure::Retry(_) => "retry",
            SourceFailure::Stop(SourceError::Lost { .. }) => "lost",
            SourceFailure::Stop(_) => "refused",
        }
    }

    #[test]
    fn the_table() {
        assert_eq!(class("replication slot \"s\" is active for PID 7 (SQLSTATE 55006)"), "retry");
        assert_eq!(class("terminating connection due to administrator command (SQLSTATE 57P01)"), "retry");
        assert_eq!(class("connection lost (SQLSTATE 08006)"), "retry");
        assert_eq!(class("requested WAL segment has already been removed (SQLSTATE 58P01)"), "lost");
        assert_eq!(class("can no longer get changes from replication slot \"s\" (SQLSTATE 55000)"), "lost");
        assert_eq!(class("logical decoding requires wal_level >= logical (SQLSTATE 55000)"), "refused");
        assert_eq!(class("recovery is in progress (SQLSTATE 55000)"), "retry");
        assert_eq!(class("password authentication failed for user \"u\" (SQLSTATE 28P01)"), "refused");
        assert_eq!(class("publication \"p\" does not exist (SQLSTATE 42704)"), "refused");
        assert_eq!(class("no code at all"), "refused");
        let io = PgWireError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(matches!(classify("following", "s", &io), SourceFailure::Retry(_)));
    }
}
