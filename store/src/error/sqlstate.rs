//! The table of SQLSTATEs that Millstream reacts to. The table decides the kind of an error, and whether another connection
//! may help.

/// The meaning of a SQLSTATE for callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SqlStateClass {
    Serialization,
    Deadlock,
    UniqueViolation,
    ForeignKeyViolation,
    LockTimeout,
    Cancelled,
    ConnectionLost,
    ReadOnly,
    Resources,
    Schema,
    Other,
}

struct Entry {
    code: &'static str,
    class: SqlStateClass,
    /// Whether a new connection may succeed later.
    transient: bool,
}

const fn entry(code: &'static str, class: SqlStateClass, transient: bool) -> Entry {
    Entry { code, class, transient }
}

use SqlStateClass::{
    Cancelled, ConnectionLost, Deadlock, ForeignKeyViolation, LockTimeout, Other, ReadOnly, Resources, Schema,
    Serialization, UniqueViolation,
};

const TABLE: [Entry; 21] = [
    entry("40001", Serialization, false),
    entry("40P01", Deadlock, false),
    entry("23505", UniqueViolation, false),
    entry("23503", ForeignKeyViolation, false),
    entry("55P03", LockTimeout, false),
    entry("57014", Cancelled, false),
    entry("53300", ConnectionLost, true), // too many connections
    entry("57P01", ConnectionLost, true), // terminated by an administrator
    entry("57P02", ConnectionLost, true), // another backend crashed
    entry("57P03", ConnectionLost, true), // starting up or shutting down
    entry("57P04", ConnectionLost, true), // the database was dropped
    entry("57P05", ConnectionLost, true), // the session was idle for too long
    entry("25P03", ConnectionLost, true), // the session was idle within a transaction for too long
    entry("25006", ReadOnly, true),       // read-only transaction
    entry("58030", Resources, true),      // I/O error
    entry("55006", Other, true),          // object in use: the server still counts a slot's last consumer as connected
    entry("42P01", Schema, false),        // undefined table
    entry("42703", Schema, false),        // undefined column
    entry("42883", Schema, false),        // undefined function
    entry("42704", Schema, false),        // undefined object
    entry("3F000", Schema, false),        // undefined schema
];

/// All codes of class 08, connection exceptions.
const CONNECTION: Entry = entry("08", ConnectionLost, true);

/// All codes of class 53, insufficient resources: disk full, out of memory, a configured limit.
const RESOURCES: Entry = entry("53", Resources, true);

/// An entry for the code itself comes before that of its class.
fn find(sqlstate: &str) -> Option<&'static Entry> {
    let exact = TABLE.iter().find(|entry| entry.code == sqlstate);
    exact.or_else(|| [&CONNECTION, &RESOURCES].into_iter().find(|class| sqlstate.starts_with(class.code)))
}

/// The class of a SQLSTATE.
pub(super) fn class_of(sqlstate: &str) -> SqlStateClass {
    find(sqlstate).map_or(Other, |entry| entry.class)
}

/// Whether connecting again later may succeed after an error with this SQLSTATE: the server was unavailable, out of a
/// resource, or had not yet released an object. A lost race between transactions is not transient in this sense; see
/// [`StoreError::is_retryable`](super::StoreError::is_retryable).
pub fn is_transient(sqlstate: &str) -> bool {
    find(sqlstate).is_some_and(|entry| entry.transient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_looked_up_exactly_and_connection_exceptions_by_their_class() {
        assert_eq!(class_of("40001"), Serialization);
        assert_eq!(class_of("08006"), ConnectionLost);
        assert_eq!(class_of("53300"), ConnectionLost);
        assert_eq!((class_of("53100"), class_of("53200"), class_of("58030")), (Resources, Resources, Resources));
        assert_eq!(class_of("22012"), Other);
        assert!(is_transient("55006") && is_transient("08001") && is_transient("57P01"));
        assert!(!is_transient("40001") && !is_transient("42P01") && !is_transient("22012"));
    }
}
