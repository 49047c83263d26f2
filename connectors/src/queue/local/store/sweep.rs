//! Clearing away what removed lanes held, in steps that hold up nobody for long.

use fjall::Keyspace;

use super::Store;
use crate::queue::local::codec;
use crate::queue::local::disk::{Disk, storage};
use millstream_pipeline::queue::QueueError;

/// How many keys a step removes. Whoever asks for something meanwhile waits for one step at most.
const STEP_KEYS: usize = 128;

/// The clearing of one lane. Where it stands is kept in memory only: after a restart it walks once more over what it
/// removed before.
#[derive(Debug)]
pub(super) struct Sweep {
    lane: u16,
    room: Room,
    /// The last key that was removed from the room.
    after: Option<Vec<u8>>,
}

/// What is cleared, one after the other. The record that says "removed" stands in the last one.
#[derive(Debug, Clone, Copy)]
enum Room {
    Work,
    Order,
    Meta,
}

impl Sweep {
    pub(super) const fn of(lane: u16) -> Self {
        Self { lane, room: Room::Work, after: None }
    }

    /// Removes some keys; answers whether nothing is left.
    fn step(&mut self, disk: &Disk) -> Result<bool, QueueError> {
        let lane = self.lane.to_be_bytes();
        let cleared = match self.room {
            Room::Work => self.clear(disk, &disk.work, &lane)?,
            Room::Order => self.clear(disk, &disk.order, &lane)?,
            Room::Meta => self.clear(disk, &disk.meta, &codec::lane_prefix(self.lane))?,
        };
        match (cleared, self.room) {
            (false, _) => return Ok(false),
            (true, Room::Work) => (self.room, self.after) = (Room::Order, None),
            (true, Room::Order) => (self.room, self.after) = (Room::Meta, None),
            (true, Room::Meta) => return Ok(true),
        }
        Ok(false)
    }

    /// Removes some keys that begin with `prefix`; answers whether there were no more.
    fn clear(&mut self, disk: &Disk, keyspace: &Keyspace, prefix: &[u8]) -> Result<bool, QueueError> {
        let from = self.after.clone().unwrap_or_else(|| prefix.to_vec());
        let mut batch = disk.batch(false);
        let mut last = None;
        for guard in keyspace.range(from..).take(STEP_KEYS) {
            let key = guard.key().map_err(storage("reading"))?;
            if !key.starts_with(prefix) {
                break;
            }
            last = Some(key.to_vec());
            batch.remove(keyspace, key);
        }
        if last.is_none() {
            return Ok(true);
        }
        self.after = last;
        batch.commit().map_err(storage("clearing a removed lane"))?;
        Ok(false)
    }
}

impl Store {
    /// Whether a removed lane has still to be cleared away.
    pub(in crate::queue::local) const fn is_sweeping(&self) -> bool {
        !self.sweeps.is_empty()
    }

    /// Clears some of it away. What a crash forgets is done again.
    pub(in crate::queue::local) fn sweep(&mut self) -> Result<(), QueueError> {
        if let Some(sweep) = self.sweeps.last_mut()
            && sweep.step(&self.disk)?
        {
            self.sweeps.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::queue::local::disk::Size;
    use millstream_pipeline::queue::conformance::work;
    use millstream_pipeline::{ChangeKind, Position};

    fn open(path: &Path) -> Store {
        let size = Size { cache_bytes: 1 << 20, journal_bytes: 64 << 20, memtable_bytes: 1 << 20 };
        Store::open(path, size, 3).expect("opens")
    }

    fn keys(store: &Store) -> usize {
        let Disk { work, order, meta, .. } = &store.disk;
        work.prefix([0, 1]).count() + order.prefix([0, 1]).count() + meta.prefix(codec::lane_prefix(1)).count()
    }

    #[test]
    fn a_removed_lane_leaves_nothing_even_if_clearing_is_interrupted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = open(folder.path());
        let numbers = ["kafka", "search"].map(|name| store.add_lane(name).expect("a lane").number);
        assert_eq!(numbers, [1, 2]);
        for number in numbers {
            let entries = (1..=300).map(|id| work(ChangeKind::Upsert, id, 1, 1)).collect();
            store.put(number, entries, Some(Position::before(1))).expect("put");
        }
        store.commit().expect("commit");
        store.set_note("kafka", "backfill", Some(vec![1])).expect("note");
        assert_eq!(store.remove_lane("kafka").expect("removed"), Some(1));
        let before = keys(&store);
        assert_eq!(before, 300 + 300 + 4, "entries, rows; record, book, position and note");
        store.sweep().expect("a step");
        assert_eq!(keys(&store), before - STEP_KEYS);
        store.persist().expect("on disk");
        drop(store);
        let mut store = open(folder.path());
        let mut steps = 0;
        while store.is_sweeping() {
            store.sweep().expect("a step");
            steps += 1;
        }
        assert_eq!((keys(&store), steps), (0, 2 + 1 + 3 + 1 + 2), "each room ends with a step that finds nothing");
        assert_eq!(store.stats(2, 1).expect("stats").depth, 300);
        assert_eq!(store.add_lane("kafka").expect("a lane").number, 3, "no number is used twice");
        drop(store);
        assert!(!open(folder.path()).is_sweeping());
    }
}
