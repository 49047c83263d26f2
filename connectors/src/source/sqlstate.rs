//! Classification of SQLSTATEs, shared by the sources that talk to PostgreSQL.

/// The consequence of a SQLSTATE for a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqlStateClass {
    /// Reconnect: the condition may pass.
    Retry,
    /// The WAL behind a replication slot is gone.
    SlotLost,
    /// An operator has to act.
    Refused,
}

/// Classifies a SQLSTATE.
pub(crate) fn classify(code: &str) -> SqlStateClass {
    match code {
        "55006" // the slot is active: the server has not noticed yet that its last consumer is gone
        | "57P01" // terminated by an administrator
        | "57P02" // another backend crashed
        | "57P03" // starting up or shutting down
        | "57P05" // idle for too long
        | "53300" // too many connections
        | "53100" // disk full
        | "53200" // out of memory
        => SqlStateClass::Retry,
        "58P01" // a WAL segment has been removed
        | "55000" // the slot was invalidated
        => SqlStateClass::SlotLost,
        _ if code.starts_with("08") => SqlStateClass::Retry,
        _ => SqlStateClass::Refused,
    }
}
