//! The binding of a queue or a copy of the documents to its database.
//!
//! Each stores the database's fingerprint: the queue beside its position, the topic in the writer's fence record, the
//! indexes in their template and mappings, the embedded index in its directory. A process that works for another
//! database refuses to use it. Documents of two databases in one copy could not be separated again, and a process that
//! took another database's work from its queue would find none of the documents and report them deleted. A queue or
//! copy without a fingerprint (created by an earlier version, or the fence record has expired) is adopted and then
//! stores one.

use sha2::{Digest, Sha256};
use std::fmt;
use uuid::Uuid;

/// The fingerprint of a database in the form of the document-state contract: `sha256:` and 64 hex digits. It cannot be
/// inverted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding(String);

impl Binding {
    /// Returns the fingerprint of the PostgreSQL database with this id (`dms.EffectiveSchema."DatabaseUuid"`).
    #[must_use]
    pub fn postgresql(database: Uuid) -> Self {
        Self::of("postgresql", database)
    }

    fn of(provider: &str, database: Uuid) -> Self {
        let digest = Sha256::new()
            .chain_update(b"ed-fi-dms-source-v1\0")
            .chain_update(provider)
            .chain_update(b"\0")
            .chain_update(database.hyphenated().to_string())
            .finalize();
        Self(format!("sha256:{digest:x}"))
    }

    /// The stored form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the error text if `found` is the fingerprint of another database; `remedy` ends the text.
    #[must_use]
    pub fn difference(&self, found: &str, remedy: &str) -> Option<String> {
        (found != self.0).then(|| format!("it belongs to another database ({found}; this one is {self}): {remedy}"))
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_that_of_the_contract() {
        let database = Uuid::from_u128(0xf81d_4fae_7dec_11d0_a765_00a0_c91e_6bf6);
        let expected = "sha256:193c47b34d9751c73d06dbf5ccf2655a1cce46154a4808f152d3db0e91b676bc";
        assert_eq!(Binding::postgresql(database).as_str(), expected);
        let expected = "sha256:1780ea8893149195e89a46c70698dfdf64e8e6f9b31c7b7e9a9872baff498d75";
        assert_eq!(Binding::of("sqlserver", database).as_str(), expected);
    }

    #[test]
    fn only_another_database_is_a_difference() {
        let (here, elsewhere) = (Binding::postgresql(Uuid::from_u128(1)), Binding::postgresql(Uuid::from_u128(2)));
        assert_eq!(here.difference(here.as_str(), "delete it"), None);
        let message = here.difference(elsewhere.as_str(), "delete it").expect("a difference");
        assert!(message.contains(here.as_str()) && message.contains(elsewhere.as_str()));
        assert!(message.ends_with("delete it"));
    }
}
