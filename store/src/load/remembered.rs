//! A bounded memory of facts that never change once they are committed.

use super::identities::IdentityValues;
use crate::table::server::ServerInstance;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Descriptor URIs remembered by default.
const DESCRIPTORS_MAX: usize = 20_000;

/// Identities of unchangeable types remembered by default.
const IDENTITIES_MAX: usize = 50_000;

/// Facts that composing remembers between batches. Share one behind an `Arc` per database.
///
/// Only immutable facts are kept: the URI of a descriptor, and the identity of a document whose type cannot change it.
/// DocumentIds are never used again within one history of a database, so no entry can become wrong there. A server that
/// was restored, failed over or crashed with unflushed commits can use them again. Every batch therefore reads which
/// server it works on ([`ServerInstance`]), in its own transaction, and gets the memory of that server only: a session
/// with an old server neither reads nor fills the memory of the new one.
#[derive(Debug)]
pub struct Caches {
    descriptors_max: usize,
    identities_max: usize,
    current: Mutex<Option<(ServerInstance, Arc<Memory>)>>,
}

/// The facts read from one server.
#[derive(Debug)]
pub(crate) struct Memory {
    /// DocumentId of a descriptor → its URI as stored.
    pub(crate) descriptors: Remembered<Arc<str>>,
    /// DocumentId → IdentityValues, for documents of unchangeable types only.
    pub(crate) identities: Remembered<IdentityValues>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_capacity(DESCRIPTORS_MAX, IDENTITIES_MAX)
    }
}

impl Memory {
    fn with_capacity(descriptors: usize, identities: usize) -> Self {
        Self { descriptors: Remembered::new(descriptors), identities: Remembered::new(identities) }
    }
}

impl Default for Caches {
    fn default() -> Self {
        Self::with_capacity(DESCRIPTORS_MAX, IDENTITIES_MAX)
    }
}

impl Caches {
    /// Caches that hold at most so many descriptors and identities.
    pub fn with_capacity(descriptors: usize, identities: usize) -> Self {
        Self { descriptors_max: descriptors, identities_max: identities, current: Mutex::new(None) }
    }

    /// Returns the memory of this server. Forgets that of any other one.
    pub(crate) fn of(&self, server: ServerInstance) -> Arc<Memory> {
        let mut current = self.current.lock();
        if let Some((known, memory)) = &*current
            && *known == server
        {
            return Arc::clone(memory);
        }
        let memory = Arc::new(Memory::with_capacity(self.descriptors_max, self.identities_max));
        *current = Some((server, Arc::clone(&memory)));
        memory
    }

    /// Forgets everything: a repair may have changed facts that never change otherwise. Batches in progress keep what
    /// they have.
    pub fn clear(&self) {
        *self.current.lock() = None;
    }
}

/// A map from DocumentId to an immutable value that holds at most `capacity` entries and forgets old ones.
///
/// Two generations: an entry that was not looked up while a whole generation filled up is dropped. No clock, no list,
/// and one short lock per batch of lookups.
#[derive(Debug)]
pub(crate) struct Remembered<V> {
    generation_max: usize,
    generations: Mutex<Generations<V>>,
}

#[derive(Debug)]
struct Generations<V> {
    young: HashMap<i64, V>,
    old: HashMap<i64, V>,
}

impl<V> Generations<V> {
    fn insert(&mut self, id: i64, value: V, generation_max: usize) {
        if self.young.len() >= generation_max && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, value);
    }
}

impl<V: Clone> Remembered<V> {
    /// An empty memory of at most `capacity` entries.
    pub(crate) fn new(capacity: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { generation_max: (capacity / 2).max(1), generations: Mutex::new(generations) }
    }

    /// Moves what is remembered of `ids` into `found`, and returns the ids that are not.
    pub(crate) fn take_known(&self, ids: impl IntoIterator<Item = i64>, found: &mut HashMap<i64, V>) -> Vec<i64> {
        let mut generations = self.generations.lock();
        let mut unknown = Vec::new();
        for id in ids {
            if let Some(value) = generations.young.get(&id) {
                found.insert(id, value.clone());
            } else if let Some(value) = generations.old.remove(&id) {
                found.insert(id, value.clone());
                generations.insert(id, value, self.generation_max);
            } else {
                unknown.push(id);
            }
        }
        unknown
    }

    /// Remembers these entries.
    pub(crate) fn remember<'v>(&self, entries: impl IntoIterator<Item = (i64, &'v V)>)
    where
        V: 'v,
    {
        let mut generations = self.generations.lock();
        for (id, value) in entries {
            generations.insert(id, value.clone(), self.generation_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_more_than_its_capacity_and_keeps_what_is_asked_for() {
        let memory = Remembered::new(10);
        memory.remember([(7_i64, &"seven")]);
        for id in 100_i64..200 {
            memory.remember([(id, &"other")]);
            let mut found = HashMap::new();
            assert!(memory.take_known([7], &mut found).is_empty(), "7 is in use and was forgotten at {id}");
            let generations = memory.generations.lock();
            let held = generations.young.len() + generations.old.len();
            assert!(held <= 10, "{held} entries");
        }
        let mut found = HashMap::new();
        assert_eq!(memory.take_known([100, 199], &mut found), vec![100], "the oldest is forgotten, the newest is not");
        assert_eq!(found.get(&199), Some(&"other"));
    }

    #[test]
    fn nothing_is_remembered_of_another_server() {
        let caches = Caches::with_capacity(10, 10);
        let (old, new) = (
            ServerInstance { started_us: 1, table: 16_400, history: 0 },
            ServerInstance { started_us: 2, table: 16_400, history: 0 },
        );
        let late = caches.of(old);
        late.descriptors.remember([(7_i64, &Arc::from("of the old server"))]);
        assert!(Arc::ptr_eq(&late, &caches.of(old)), "one server, one memory");
        assert_eq!(caches.of(new).descriptors.take_known([7], &mut HashMap::new()), vec![7]);
        // A batch that began on the old server ends after the new one was seen.
        late.descriptors.remember([(8_i64, &Arc::from("of the old server"))]);
        assert_eq!(caches.of(new).descriptors.take_known([7, 8], &mut HashMap::new()), vec![7, 8]);
        assert_eq!(caches.of(old).descriptors.take_known([7], &mut HashMap::new()), vec![7], "it was forgotten");
        let again = ServerInstance { history: 1, ..new };
        assert!(!Arc::ptr_eq(&caches.of(new), &caches.of(again)), "a new history on a running server");
    }
}
