//! Lanes by name: adding, removing, pausing, and their notes. Every change is on disk when the call returns; nothing may
//! be staged when it is made.

use millstream_pipeline::queue::lanes::no_lane;
use millstream_pipeline::queue::{LaneInfo, QueueError};
use uuid::Uuid;

use super::{LaneKey, LaneStore, NEXT_LANE, NamedLane, Sweep};
use crate::queue::local::codec::{self, CACHE_QUEUE, LaneRecord, LaneState, RECORD};
use crate::queue::local::disk::StoreResultExt;
use crate::queue::local::lane::Lane;

fn note_key(number: u16, key: &str) -> Vec<u8> {
    codec::meta_key(number, &format!("note/{key}"))
}

impl LaneStore {
    /// Returns the lane of that name, if it exists.
    pub(in crate::queue::local) fn find(&self, name: &str) -> Option<LaneKey> {
        let (number, named) = self.lanes.iter().find(|(_, named)| named.record.name == name)?;
        Some(LaneKey { number: *number, epoch: named.record.epoch })
    }

    /// Returns the number of the lane of that name.
    fn number(&self, name: &str) -> Result<u16, QueueError> {
        self.find(name).map(|key| key.number).ok_or_else(|| no_lane(name))
    }

    /// Returns the lane of that name, which is created if it does not exist.
    pub(in crate::queue::local) fn add_lane(&mut self, name: &str) -> Result<LaneKey, QueueError> {
        if let Some(key) = self.find(name) {
            return Ok(key);
        }
        let number = self.next_lane;
        let next = number.checked_add(1).ok_or(QueueError::LanesUsedUp)?;
        let record = LaneRecord { name: name.to_owned(), epoch: Uuid::new_v4(), state: LaneState::Live };
        let key = LaneKey { number, epoch: record.epoch };
        self.disk.change_meta(|batch, meta| {
            batch.insert(meta, codec::meta_key(number, RECORD), record.encode());
            batch.insert(meta, codec::meta_key(CACHE_QUEUE, NEXT_LANE), next.to_be_bytes());
        })?;
        self.next_lane = next;
        self.lanes.insert(number, NamedLane { record, lane: Lane::empty(number, false) });
        Ok(key)
    }

    /// Removes a lane and returns its number; [`LaneStore::sweep`] clears its entries.
    pub(in crate::queue::local) fn remove_lane(&mut self, name: &str) -> Result<Option<u16>, QueueError> {
        let Some(LaneKey { number, .. }) = self.find(name) else { return Ok(None) };
        self.set_state(number, LaneState::Removed)?;
        self.lanes.remove(&number);
        self.removed.insert(number, name.to_owned());
        self.sweeps.push(Sweep::of(number));
        Ok(Some(number))
    }

    /// Pauses or resumes a lane.
    pub(in crate::queue::local) fn set_paused(&mut self, name: &str, paused: bool) -> Result<(), QueueError> {
        let number = self.number(name)?;
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

    /// Stores a note, or removes it.
    pub(in crate::queue::local) fn set_note(
        &self,
        name: &str,
        key: &str,
        note: Option<Vec<u8>>,
    ) -> Result<(), QueueError> {
        let key = note_key(self.number(name)?, key);
        self.disk.change_meta(|batch, meta| match note {
            Some(note) => batch.insert(meta, key, note),
            None => batch.remove(meta, key),
        })
    }

    pub(in crate::queue::local) fn note(&self, name: &str, key: &str) -> Result<Option<Vec<u8>>, QueueError> {
        let note = self.disk.meta.get(note_key(self.number(name)?, key)).during("reading")?;
        Ok(note.map(|note| note.to_vec()))
    }

    /// Returns all lanes, in order of their names.
    pub(in crate::queue::local) fn infos(&self) -> Vec<LaneInfo> {
        let info = |record: &LaneRecord| LaneInfo {
            name: record.name.clone(),
            paused: record.state == LaneState::Paused,
            epoch: record.epoch,
        };
        let mut lanes: Vec<_> = self.lanes.values().map(|named| info(&named.record)).collect();
        lanes.sort_by(|left, right| left.name.cmp(&right.name));
        lanes
    }
}
