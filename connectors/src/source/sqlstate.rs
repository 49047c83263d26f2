//! SQLSTATEs after which a source reconnects instead of stopping.

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

/// Whether trying again may help after a server's error with this SQLSTATE.
pub(crate) fn is_retried(code: &str) -> bool {
    RETRIED.contains(&code) || code.starts_with("08")
}
