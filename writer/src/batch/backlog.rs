//! The writes of a lane that are not in a transaction yet.

use super::entry::Entry;
use std::collections::{HashSet, VecDeque};
use uuid::Uuid;

/// The size of a batch, at most. One document always fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimit {
    pub(super) documents: usize,
    pub(super) bytes: usize,
}

/// Writes in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: VecDeque<Entry>,
}

impl Backlog {
    pub(super) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    /// Puts writes back to the front, in their order.
    pub(super) fn put_back(&mut self, entries: Vec<Entry>) {
        entries.into_iter().rev().for_each(|entry| self.waiting.push_front(entry));
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the next batch: of each document the first write, if none of it is in progress (`busy`). Writes whose
    /// client is gone are dropped: they have not begun.
    pub(super) fn take(&mut self, busy: &HashSet<Uuid>, limit: BatchLimit) -> Vec<Entry> {
        let mut taken = Vec::new();
        let mut left = VecDeque::new();
        let mut keys: HashSet<Uuid> = HashSet::new();
        let mut bytes = 0;
        let mut full = false;
        for entry in self.waiting.drain(..) {
            if entry.is_abandoned() {
                tracing::info!("a client was gone before its write began: it is not written");
                continue;
            }
            full |= taken.len() == limit.documents || (!taken.is_empty() && bytes + entry.bytes > limit.bytes);
            let is_free = !entry.keys().any(|key| busy.contains(&key) || keys.contains(&key));
            // The keys of what stays are kept, too: a later write of the document does not overtake it.
            keys.extend(entry.keys());
            if is_free && !full {
                bytes += entry.bytes;
                taken.push(entry);
            } else {
                left.push_back(entry);
            }
        }
        self.waiting = left;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::FlatDocument;
    use crate::error::WriteError;
    use crate::request::{Preconditions, Written};
    use millstream_testkit::World;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;
    use tokio::sync::{Semaphore, oneshot};

    type Answer = oneshot::Receiver<Result<Written, WriteError>>;

    const LIMIT: BatchLimit = BatchLimit { documents: 3, bytes: 100 };

    fn entry(identity: u128, route: Option<u128>, bytes: usize) -> (Entry, Answer) {
        let (reply, answer) = oneshot::channel();
        let flat = FlatDocument {
            tables: Vec::new(),
            targets: Vec::new(),
            referential_id: Uuid::from_u128(identity),
            identity_values: Vec::new(),
        };
        let resource = World::fixtures().mapping.route("meadow", "students").expect("the type exists");
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a permit");
        let entry = Entry {
            resource,
            flat,
            route: route.map(Uuid::from_u128),
            preconditions: Preconditions::default(),
            bytes,
            received: Instant::now(),
            reply: Mutex::new(Some(reply)),
            _queued: permit,
        };
        (entry, answer)
    }

    fn backlog(entries: &[(u128, Option<u128>, usize)]) -> (Backlog, Vec<Answer>) {
        let mut backlog = Backlog::default();
        let replies = entries.iter().map(|(identity, route, bytes)| {
            let (entry, reply) = entry(*identity, *route, *bytes);
            backlog.push(entry);
            reply
        });
        let replies = replies.collect();
        (backlog, replies)
    }

    fn identities(entries: &[Entry]) -> Vec<u128> {
        entries.iter().map(|entry| entry.flat.referential_id.as_u128()).collect()
    }

    #[test]
    fn writes_of_one_document_come_one_after_the_other() {
        let (mut backlog, _replies) = backlog(&[(1, None, 1), (2, None, 1), (1, Some(9), 1), (3, Some(9), 1)]);
        let none = HashSet::new();
        assert_eq!(identities(&backlog.take(&none, LIMIT)), [1, 2]);
        assert_eq!(identities(&backlog.take(&none, LIMIT)), [1]);
        assert_eq!(identities(&backlog.take(&none, LIMIT)), [3]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_document_that_is_being_written_keeps_its_later_writes_waiting() {
        let (mut backlog, _replies) = backlog(&[(1, None, 1), (2, None, 1)]);
        let busy = HashSet::from([Uuid::from_u128(1)]);
        assert_eq!(identities(&backlog.take(&busy, LIMIT)), [2]);
        assert!(backlog.take(&busy, LIMIT).is_empty());
        assert_eq!(identities(&backlog.take(&HashSet::new(), LIMIT)), [1]);
    }

    #[test]
    fn a_batch_ends_at_its_limits_and_one_document_always_fits() {
        let (mut backlog, _replies) =
            backlog(&[(1, None, 500), (2, None, 60), (3, None, 40), (4, None, 1), (5, None, 1), (6, None, 1)]);
        let none = HashSet::new();
        assert_eq!(identities(&backlog.take(&none, LIMIT)), [1]);
        assert_eq!(identities(&backlog.take(&none, LIMIT)), [2, 3]);
        assert_eq!(identities(&backlog.take(&none, LIMIT)), [4, 5, 6]);
    }

    #[test]
    fn a_write_whose_client_is_gone_does_not_begin() {
        let (mut backlog, mut replies) = backlog(&[(1, None, 1), (2, None, 1)]);
        drop(replies.remove(0));
        assert_eq!(identities(&backlog.take(&HashSet::new(), LIMIT)), [2]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn what_was_put_back_comes_first() {
        let (mut backlog, _replies) = backlog(&[(1, None, 1), (2, None, 1), (3, None, 1), (4, None, 1)]);
        let taken = backlog.take(&HashSet::new(), LIMIT);
        backlog.put_back(taken);
        assert_eq!(identities(&backlog.take(&HashSet::new(), LIMIT)), [1, 2, 3]);
    }
}
