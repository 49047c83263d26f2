//! What is tried again and what is not: the one place where that is decided for every source.

use std::time::Duration;

use millstream_outbox::source::SourceError;
use pgwire_replication::PgWireError;

/// What to do after the connection failed.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Trying again may help.
    Retry(String),
    /// Somebody has to act.
    Stop(SourceError),
}

/// SQLSTATEs after which trying again may help.
const RETRIED: [&str; 8] = [
    "55006", // the slot is active: the server has not noticed yet that its last consumer is gone
    "57P01", // terminated by an administrator
    "57P02", // another backend crashed
    "57P03", // starting up or shutting down
    "57P05", // idle for too long
    "53300", // too many connections
    "53100", // disk full
    "53200", // out of memory
];

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

/// Whether trying again may help after a server's error with this SQLSTATE.
pub(crate) fn is_retried(code: &str) -> bool {
    RETRIED.contains(&code) || code.starts_with("08")
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

/// Growing pauses between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(10);

    pub(crate) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(Self::LONGEST);
        pause
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

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..9).map(|_| backoff.pause()).collect();
        assert_eq!((pauses[0], pauses[8]), (Backoff::FIRST, Backoff::LONGEST));
        assert!(pauses.is_sorted());
    }
}
