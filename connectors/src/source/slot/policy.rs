//! What is tried again and what is not: the one place where that is decided for every source.

use millstream_pipeline::source::SourceError;
use pgwire_replication::PgWireError;

use crate::source::sqlstate::is_retried;

/// What to do after the connection failed.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Trying again may help.
    Retry(String),
    /// Somebody has to act.
    Stop(SourceError),
}

/// SQLSTATEs that say that the log behind the slot is gone.
const LOST: [&str; 2] = [
    "58P01", // a segment of the log has been removed
    "55000", // the slot was invalidated
];

/// The SQLSTATE that the client puts at the end of a server's message.
pub(crate) fn sqlstate(message: &str) -> Option<&str> {
    let (_, code) = message.rsplit_once("(SQLSTATE ")?;
    code.strip_suffix(')').filter(|code| code.len() == 5)
}

/// Decides about an error of the replication client while doing `what` with `slot`.
pub(crate) fn judge(what: &str, slot: &str, error: &PgWireError) -> Verdict {
    let refused =
        |detail: &str| Verdict::Stop(SourceError::Refused { what: what.to_owned(), detail: detail.to_owned() });
    match error {
        PgWireError::Io(_) | PgWireError::Task(_) | PgWireError::Internal(_) => Verdict::Retry(error.to_string()),
        PgWireError::Server(message) => match sqlstate(message) {
            Some(code) if is_retried(code) => Verdict::Retry(error.to_string()),
            // The same code says that the server is not set up for logical decoding at all.
            Some(code) if LOST.contains(&code) && !message.contains("wal_level") => {
                Verdict::Stop(SourceError::Lost { what: format!("slot {slot}"), detail: message.clone() })
            }
            _ => refused(message),
        },
        _ => refused(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(message: &str) -> &'static str {
        match judge("following", "s", &PgWireError::Server(message.to_owned())) {
            Verdict::Retry(_) => "retry",
            Verdict::Stop(SourceError::Lost { .. }) => "lost",
            Verdict::Stop(_) => "refused",
        }
    }

    #[test]
    fn the_table() {
        assert_eq!(verdict("replication slot \"s\" is active for PID 7 (SQLSTATE 55006)"), "retry");
        assert_eq!(verdict("terminating connection due to administrator command (SQLSTATE 57P01)"), "retry");
        assert_eq!(verdict("connection lost (SQLSTATE 08006)"), "retry");
        assert_eq!(verdict("requested WAL segment has already been removed (SQLSTATE 58P01)"), "lost");
        assert_eq!(verdict("can no longer get changes from replication slot \"s\" (SQLSTATE 55000)"), "lost");
        assert_eq!(verdict("logical decoding requires wal_level >= logical (SQLSTATE 55000)"), "refused");
        assert_eq!(verdict("password authentication failed for user \"u\" (SQLSTATE 28P01)"), "refused");
        assert_eq!(verdict("publication \"p\" does not exist (SQLSTATE 42704)"), "refused");
        assert_eq!(verdict("no code at all"), "refused");
        let io = PgWireError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(matches!(judge("following", "s", &io), Verdict::Retry(_)));
    }
}
