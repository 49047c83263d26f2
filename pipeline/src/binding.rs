//! Which database a queue, or a copy of the documents, is of.
//!
//! Each says it of itself: the queue beside its position, the topic where the mark of its writer is, the indexes in their
//! template and mappings, the embedded index in its folder. A process that works for another database refuses it. The documents of two
//! databases in one copy could not be taken apart again; and who took another's work from its queue would find none of its
//! documents and call them deleted. What says nothing (an earlier version made it, or Kafka's memory of the mark has
//! passed) is taken as one's own and says it from then on.

use sha2::{Digest, Sha256};
use std::fmt;
use uuid::Uuid;

/// The fingerprint of a database, of the form that the document-state contract gives it: `sha256:` and 64 hex digits.
/// Nothing can be read back out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding(String);

impl Binding {
    /// The PostgreSQL database with this id (`dms.EffectiveSchema."DatabaseUuid"`).
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

    /// As it is kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is wrong with something that says `found` of itself; `otherwise` is what to do about it.
    #[must_use]
    pub fn difference(&self, found: &str, otherwise: &str) -> Option<String> {
        (found != self.0).then(|| format!("it belongs to another database ({found}; this one is {self}): {otherwise}"))
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
        let told = here.difference(elsewhere.as_str(), "delete it").expect("a difference");
        assert!(told.contains(here.as_str()) && told.contains(elsewhere.as_str()) && told.ends_with("delete it"));
    }
}
