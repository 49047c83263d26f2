//! The store on disk of the cache queue and the lanes. One atomic batch commits changes of any number of them.

mod naming;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use millstream_pipeline::binding::Binding;
use millstream_pipeline::queue::lanes::no_lane;
use millstream_pipeline::queue::{QueueError, Work};
use uuid::Uuid;

use super::codec::{self, CACHE_QUEUE, LANES_PREFIX, LaneRecord, LaneState, RECORD};
use super::disk::{Disk, StoreResultExt, StoreSize};
use super::lane::{Lane, Readiness};
use super::sweep::Sweep;

/// Key in `meta` under which the binding is stored: the database that the queue belongs to
/// ([`millstream_pipeline::binding`]).
const SOURCE: &str = "source";
/// Remedy for a queue that belongs to another database.
const REMEDY: &str = "give this one a folder of its own (data_dir, or queue.dir)";
/// Key in `meta` under which the number of the next lane is stored.
const NEXT_LANE: &str = "next-lane";

/// A lane with its record.
struct NamedLane {
    record: LaneRecord,
    lane: Lane,
}

/// Number and epoch that identify a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaneKey {
    pub(super) number: u16,
    pub(super) epoch: Uuid,
}

/// The store of a [`super::LocalQueue`]. Only the queue's owner thread uses it.
pub(super) struct LaneStore {
    disk: Disk,
    epoch: Uuid,
    cache: Lane,
    lanes: BTreeMap<u16, NamedLane>,
    next_lane: u16,
    /// Names of lanes that were removed since the store was opened. Handles to them may still exist.
    removed: HashMap<u16, String>,
    sweeps: Vec<Sweep>,
}

impl LaneStore {
    /// Opens or creates the store in `path`. The caller has checked the format.
    pub(super) fn open(path: &Path, size: StoreSize) -> Result<Self, QueueError> {
        let disk = Disk::open(path, size)?;
        let epoch = match disk.meta(CACHE_QUEUE, "epoch", codec::sixteen)? {
            Some(epoch) => Uuid::from_bytes(epoch),
            None => {
                let epoch = Uuid::new_v4();
                disk.change_meta(|batch, meta| batch.insert(meta, "epoch", epoch.into_bytes()))?;
                epoch
            }
        };
        let (mut lanes, mut sweeps) = (BTreeMap::new(), Vec::new());
        for (number, record) in read_records(&disk)? {
            if record.state == LaneState::Removed {
                sweeps.push(Sweep::of(number));
            } else {
                let lane = Lane::open(&disk, number, record.state == LaneState::Paused)?;
                lanes.insert(number, NamedLane { record, lane });
            }
        }
        Ok(Self {
            cache: Lane::open(&disk, CACHE_QUEUE, false)?,
            next_lane: disk.meta(CACHE_QUEUE, NEXT_LANE, codec::lane_number)?.unwrap_or(CACHE_QUEUE + 1),
            removed: HashMap::new(),
            disk,
            epoch,
            lanes,
            sweeps,
        })
    }

    /// Stores the binding if the queue has none. If the queue belongs to another database, returns the difference.
    pub(super) fn bind(&self, binding: &Binding) -> Result<Option<String>, QueueError> {
        let Some(found) = self.disk.meta(CACHE_QUEUE, SOURCE, codec::text)? else {
            self.disk.change_meta(|batch, meta| batch.insert(meta, SOURCE, binding.as_str()))?;
            return Ok(None);
        };
        Ok(binding.difference(&found, REMEDY))
    }

    pub(super) const fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Returns the cache queue or a lane by its number. The error for a removed lane contains its name.
    pub(super) fn lane(&mut self, number: u16) -> Result<(&mut Lane, &Disk), QueueError> {
        let lane = match self.lanes.get_mut(&number) {
            Some(named) => &mut named.lane,
            None if number == CACHE_QUEUE => &mut self.cache,
            None => return Err(no_lane(self.removed.get(&number).map_or("", String::as_str))),
        };
        Ok((lane, &self.disk))
    }

    /// Adds work to every lane, in memory. [`Self::commit`] writes it.
    pub(super) fn deliver(&mut self, deliveries: &[Work]) -> Result<(), QueueError> {
        for named in self.lanes.values_mut() {
            for delivery in deliveries {
                named.lane.add(&self.disk, delivery.clone())?;
            }
        }
        Ok(())
    }

    /// Writes all uncommitted changes in one atomic batch. After an error, memory and disk may differ: drop the store.
    pub(super) fn commit(&mut self) -> Result<(), QueueError> {
        let lanes = with_numbers(&mut self.cache, &mut self.lanes).map(|(_, lane)| lane);
        let staged: Vec<&mut Lane> = lanes.filter(|lane| lane.is_staged()).collect();
        if staged.is_empty() {
            return Ok(());
        }
        let mut batch = self.disk.batch(staged.iter().any(|lane| lane.is_durable()));
        staged.into_iter().for_each(|lane| lane.write(&self.disk, &mut batch));
        batch.commit().during("writing")
    }

    /// Flushes everything to disk before the store is dropped.
    pub(super) fn persist(&self) -> Result<(), QueueError> {
        self.disk.persist()
    }

    /// Returns the readiness of those queues (cache queue and lanes) whose readiness may have changed since the last
    /// call. A queue whose readiness cannot be read counts as ready, and the next `take` returns the error.
    pub(super) fn changed_readiness(&mut self, now_ms: u64) -> Vec<(u16, Readiness)> {
        let unknown = Readiness { now: true, due_ms: None };
        with_numbers(&mut self.cache, &mut self.lanes)
            .filter_map(|(number, lane)| lane.was_touched().then_some((number, lane)))
            .map(|(number, lane)| (number, lane.readiness(&self.disk, now_ms).unwrap_or(unknown)))
            .collect()
    }

    /// Returns whether the disk still holds data of removed lanes.
    pub(super) const fn is_sweeping(&self) -> bool {
        !self.sweeps.is_empty()
    }

    /// Deletes part of the data of a removed lane. A step that a crash loses is repeated.
    pub(super) fn sweep(&mut self) -> Result<(), QueueError> {
        if let Some(sweep) = self.sweeps.last_mut()
            && sweep.step(&self.disk)?
        {
            self.sweeps.pop();
        }
        Ok(())
    }
}

/// Returns the cache queue and all lanes, with their numbers.
fn with_numbers<'a>(
    cache: &'a mut Lane,
    lanes: &'a mut BTreeMap<u16, NamedLane>,
) -> impl Iterator<Item = (u16, &'a mut Lane)> {
    let lanes = lanes.iter_mut().map(|(number, named)| (*number, &mut named.lane));
    std::iter::once((CACHE_QUEUE, cache)).chain(lanes)
}

/// Reads the records of all lanes, including removed ones whose data is not deleted yet.
fn read_records(disk: &Disk) -> Result<Vec<(u16, LaneRecord)>, QueueError> {
    let mut records = Vec::new();
    for guard in disk.meta.prefix(LANES_PREFIX) {
        let (key, value) = guard.into_inner().during("opening")?;
        let (number, name) = codec::lane_of_meta_key(&key)?;
        if name == RECORD.as_bytes() {
            records.push((number, LaneRecord::decode(&value)?));
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::local::sweep::STEP_KEYS;
    use millstream_pipeline::queue::conformance::work;
    use millstream_pipeline::{ChangeKind, Position};

    fn open(path: &Path) -> LaneStore {
        let size = StoreSize { cache_bytes: 1 << 20, journal_bytes: 64 << 20, memtable_bytes: 1 << 20 };
        LaneStore::open(path, size).expect("opens")
    }

    fn keys(store: &LaneStore) -> usize {
        let Disk { work, order, meta, .. } = &store.disk;
        work.prefix([0, 1]).count() + order.prefix([0, 1]).count() + meta.prefix(codec::lane_prefix(1)).count()
    }

    #[test]
    fn a_removed_lane_leaves_nothing_even_if_the_sweep_is_interrupted() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = open(folder.path());
        let numbers = ["kafka", "search"].map(|name| store.add_lane(name).expect("a lane").number);
        assert_eq!(numbers, [1, 2]);
        for number in numbers {
            let entries = (1..=300).map(|id| work(ChangeKind::Upsert, id, 1, 1)).collect();
            let (lane, disk) = store.lane(number).expect("a lane");
            lane.put(disk, entries, Some(Position::before(1))).expect("put");
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
        assert_eq!((keys(&store), steps), (0, 2 + 1 + 3 + 1 + 2), "each key space ends with a step that finds nothing");
        let (lane, disk) = store.lane(2).expect("a lane");
        assert_eq!(lane.stats(disk, 1).expect("stats").depth, 300);
        assert_eq!(store.add_lane("kafka").expect("a lane").number, 3, "no number is used twice");
        drop(store);
        assert!(!open(folder.path()).is_sweeping());
    }
}
