//! Lanes by name: adding, removing, pausing, and what is noted about them. All of it is on disk when a call returns, and
//! nothing may be staged when it is made.

use uuid::Uuid;

use super::{Named, Store, Sweep};
use crate::queue::local::codec::{self, LANES_PREFIX, LaneState, RECORD, Record, STAGE};
use crate::queue::local::disk::{Disk, storage};
use crate::queue::local::lane::{Lane, Readiness};
use millstream_pipeline::queue::lanes::no_lane;
use millstream_pipeline::queue::{LaneInfo, QueueError};

/// Where the number of the next lane stands in `meta`.
pub(super) const NEXT_LANE: &str = "next-lane";

/// What somebody needs to know of a lane to use it.
#[derive(Debug, Clone, Copy)]
pub(in crate::queue::local) struct Grant {
    pub(in crate::queue::local) number: u16,
    pub(in crate::queue::local) epoch: Uuid,
}

/// The records of all lanes, of those too that are being cleared away.
pub(super) fn read_records(disk: &Disk) -> Result<Vec<(u16, Record)>, QueueError> {
    let mut records = Vec::new();
    for guard in disk.meta.prefix(LANES_PREFIX) {
        let (key, value) = guard.into_inner().map_err(storage("opening"))?;
        let (number, what) = codec::lane_of_meta_key(&key)?;
        if what == RECORD.as_bytes() {
            records.push((number, Record::decode(&value)?));
        }
    }
    Ok(records)
}

fn note_key(number: u16, key: &str) -> Vec<u8> {
    codec::meta_key(number, &format!("note/{key}"))
}

impl Store {
    /// The lane of that name.
    pub(in crate::queue::local) fn named(&self, name: &str) -> Option<Grant> {
        let (number, named) = self.lanes.iter().find(|(_, named)| named.record.name == name)?;
        Some(Grant { number: *number, epoch: named.record.epoch })
    }

    /// The lane of that name, which is made if it is not there.
    pub(in crate::queue::local) fn add_lane(&mut self, name: &str) -> Result<Grant, QueueError> {
        if let Some(grant) = self.named(name) {
            return Ok(grant);
        }
        let number = self.next_lane;
        let next = number.checked_add(1).ok_or(QueueError::LanesUsedUp)?;
        let record = Record { name: name.to_owned(), epoch: Uuid::new_v4(), state: LaneState::Live };
        let grant = Grant { number, epoch: record.epoch };
        self.disk.change_meta(|batch, meta| {
            batch.insert(meta, codec::meta_key(number, RECORD), record.encode());
            batch.insert(meta, codec::meta_key(STAGE, NEXT_LANE), next.to_be_bytes());
        })?;
        self.next_lane = next;
        self.lanes.insert(number, Named { record, lane: Lane::empty(number, false) });
        Ok(grant)
    }

    /// Forgets a lane; what it held is cleared away by [`Store::sweep`]. Answers its number.
    pub(in crate::queue::local) fn remove_lane(&mut self, name: &str) -> Result<Option<u16>, QueueError> {
        let Some(Grant { number, .. }) = self.named(name) else { return Ok(None) };
        self.set_state(number, LaneState::Removed)?;
        self.lanes.remove(&number);
        self.removed.insert(number, name.to_owned());
        self.sweeps.push(Sweep::of(number));
        Ok(Some(number))
    }

    /// Pauses or resumes a lane.
    pub(in crate::queue::local) fn set_paused(&mut self, name: &str, paused: bool) -> Result<(), QueueError> {
        let Grant { number, .. } = self.named(name).ok_or_else(|| no_lane(name))?;
        self.set_state(number, if paused { LaneState::Paused } else { LaneState::Live })?;
        if let Some(named) = self.lanes.get_mut(&number) {
            named.lane.set_paused(paused);
        }
        Ok(())
    }

    fn set_state(&mut self, number: u16, state: LaneState) -> Result<(), QueueError> {
        let Some(named) = self.lanes.get_mut(&number) else { return Ok(()) };
        named.record.state = state;
        let record = named.record.encode();
        self.disk.change_meta(|batch, meta| batch.insert(meta, codec::meta_key(number, RECORD), record))
    }

    /// Keeps a note, or forgets it.
    pub(in crate::queue::local) fn set_note(
        &self,
        name: &str,
        key: &str,
        note: Option<Vec<u8>>,
    ) -> Result<(), QueueError> {
        let Grant { number, .. } = self.named(name).ok_or_else(|| no_lane(name))?;
        let key = note_key(number, key);
        self.disk.change_meta(|batch, meta| match note {
            Some(note) => batch.insert(meta, key, note),
            None => batch.remove(meta, key),
        })
    }

    pub(in crate::queue::local) fn note(&self, name: &str, key: &str) -> Result<Option<Vec<u8>>, QueueError> {
        let Grant { number, .. } = self.named(name).ok_or_else(|| no_lane(name))?;
        let note = self.disk.meta.get(note_key(number, key)).map_err(storage("reading"))?;
        Ok(note.map(|note| note.to_vec()))
    }

    /// All lanes, in order of their names.
    pub(in crate::queue::local) fn lanes(&self) -> Vec<LaneInfo> {
        let info = |record: &Record| LaneInfo {
            name: record.name.clone(),
            paused: record.state == LaneState::Paused,
            epoch: record.epoch,
        };
        let mut lanes: Vec<_> = self.lanes.values().map(|named| info(&named.record)).collect();
        lanes.sort_by(|left, right| left.name.cmp(&right.name));
        lanes
    }

    /// The numbers of the stage and of all lanes.
    pub(in crate::queue::local) fn numbers(&self) -> Vec<u16> {
        std::iter::once(STAGE).chain(self.lanes.keys().copied()).collect()
    }

    /// When there is something to take, of the stage and the lanes where that may have changed since this was asked
    /// last. If it cannot be read, it is now, and taking will say why.
    pub(in crate::queue::local) fn changed_readiness(&mut self, now_ms: u64) -> Vec<(u16, Readiness)> {
        let stage = (STAGE, &mut self.stage);
        let lanes =
            std::iter::once(stage).chain(self.lanes.iter_mut().map(|(number, named)| (*number, &mut named.lane)));
        let touched = lanes.filter_map(|(number, lane)| lane.was_touched().then_some((number, lane)));
        let unreadable = Readiness { now: true, due_ms: None };
        touched.map(|(number, lane)| (number, lane.readiness(&self.disk, now_ms).unwrap_or(unreadable))).collect()
    }
}
