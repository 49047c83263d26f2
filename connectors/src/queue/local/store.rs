//! The stage and the lanes together: what is changed in one of them, or in several, is committed in one atomic batch.

mod naming;
mod sweep;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use uuid::Uuid;

pub(super) use self::naming::Grant;
use self::naming::{NEXT_LANE, read_records};
use self::sweep::Sweep;
use super::codec::{self, LaneState, Record, STAGE};
use super::disk::{Disk, Size, storage};
use super::lane::Lane;
use millstream_pipeline::Position;
use millstream_pipeline::binding::Binding;
use millstream_pipeline::queue::lanes::no_lane;
use millstream_pipeline::queue::{Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Work};

/// Where `meta` has the database whose work this is ([`millstream_pipeline::binding`]).
const SOURCE: &str = "source";
const ELSEWHERE: &str = "give this one a folder of its own (data_dir, or queue.dir)";

/// A lane that has a name.
struct Named {
    record: Record,
    lane: Lane,
}

/// The store of a [`super::LocalQueue`], for its owner thread alone.
pub(super) struct Store {
    disk: Disk,
    epoch: Uuid,
    stage: Lane,
    lanes: BTreeMap<u16, Named>,
    next_lane: u16,
    /// Names of lanes that were removed since the store was opened: somebody may still hold one.
    removed: HashMap<u16, String>,
    sweeps: Vec<Sweep>,
    takes: u64,
    attempts_max: u32,
    durable: bool,
}

impl Store {
    /// Opens or makes the store in `path`, whose format has been checked.
    pub(super) fn open(path: &Path, size: Size, attempts_max: u32) -> Result<Self, QueueError> {
        let disk = Disk::open(path, size)?;
        let epoch = match disk.meta(STAGE, "epoch", codec::sixteen)? {
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
                lanes.insert(number, Named { record, lane });
            }
        }
        Ok(Self {
            stage: Lane::open(&disk, STAGE, false)?,
            next_lane: disk.meta(STAGE, NEXT_LANE, codec::lane_number)?.unwrap_or(STAGE + 1),
            removed: HashMap::new(),
            takes: 0,
            durable: false,
            disk,
            epoch,
            lanes,
            sweeps,
            attempts_max,
        })
    }

    /// Notes whose work this is, if it does not say; what is wrong if it is another's.
    pub(super) fn bind(&self, binding: &Binding) -> Result<Result<(), String>, QueueError> {
        let Some(found) = self.disk.meta(STAGE, SOURCE, codec::text)? else {
            self.disk.change_meta(|batch, meta| batch.insert(meta, SOURCE, binding.as_str()))?;
            return Ok(Ok(()));
        };
        Ok(binding.difference(&found, ELSEWHERE).map_or(Ok(()), Err))
    }

    pub(super) const fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Whether the stage or a lane has this number; the error names the lane that was removed.
    pub(super) fn has(&self, number: u16) -> Result<(), QueueError> {
        if number == STAGE || self.lanes.contains_key(&number) {
            Ok(())
        } else {
            Err(no_lane(self.removed.get(&number).map_or("", String::as_str)))
        }
    }

    fn lane(&self, number: u16) -> Result<&Lane, QueueError> {
        self.has(number)?;
        Ok(self.lanes.get(&number).map_or(&self.stage, |named| &named.lane))
    }

    fn lane_mut(&mut self, number: u16) -> Result<(&Disk, &mut Lane), QueueError> {
        self.has(number)?;
        let lane = match self.lanes.get_mut(&number) {
            Some(named) => &mut named.lane,
            None => &mut self.stage,
        };
        Ok((&self.disk, lane))
    }

    /// Stages work and a position for a commit that is durable.
    pub(super) fn put(&mut self, number: u16, work: Vec<Work>, position: Option<Position>) -> Result<(), QueueError> {
        self.durable = true;
        let (disk, lane) = self.lane_mut(number)?;
        lane.put(disk, work, position)
    }

    /// Stages a position that may lie before the stored one.
    pub(super) fn set_position(&mut self, number: u16, position: Position) -> Result<(), QueueError> {
        self.durable = true;
        self.lane_mut(number)?.1.set_position(position);
        Ok(())
    }

    /// Stages what became of entries, and what follows from it for the lanes.
    pub(super) fn settle(
        &mut self,
        number: u16,
        settled: Vec<(Ticket, Settled)>,
        now_ms: u64,
    ) -> Result<SettleReport, QueueError> {
        let limits = (now_ms, self.attempts_max);
        let mut deliveries = Vec::new();
        let (disk, lane) = self.lane_mut(number)?;
        let report = lane.settle(disk, settled, limits, &mut deliveries)?;
        if number == STAGE {
            for named in self.lanes.values_mut() {
                for delivery in &deliveries {
                    named.lane.add(&self.disk, delivery.clone())?;
                }
            }
        }
        Ok(report)
    }

    /// Stages the return of entries from quarantine, or their end.
    pub(super) fn leave_quarantine(
        &mut self,
        number: u16,
        document_ids: Vec<i64>,
        again: bool,
    ) -> Result<u64, QueueError> {
        self.durable = true;
        let (disk, lane) = self.lane_mut(number)?;
        lane.leave_quarantine(disk, document_ids, again)
    }

    /// Writes all that is staged in one atomic batch. After an error memory and disk may differ: the store is to be
    /// dropped.
    pub(super) fn commit(&mut self) -> Result<(), QueueError> {
        let durable = std::mem::take(&mut self.durable);
        let lanes = std::iter::once(&mut self.stage).chain(self.lanes.values_mut().map(|named| &mut named.lane));
        let mut staged = lanes.filter(|lane| lane.is_staged()).peekable();
        if staged.peek().is_none() {
            return Ok(());
        }
        let mut batch = self.disk.batch(durable);
        for lane in staged {
            lane.write(&self.disk, &mut batch);
        }
        batch.commit().map_err(storage("writing"))
    }

    /// Flushes everything to disk before the store is dropped.
    pub(super) fn persist(&self) -> Result<(), QueueError> {
        self.disk.persist()
    }

    /// Takes entries; everything has to be committed.
    pub(super) fn take(&mut self, number: u16, max: usize, now_ms: u64) -> Result<Vec<Taken>, QueueError> {
        let mut takes = self.takes;
        let (disk, lane) = self.lane_mut(number)?;
        let taken = lane.take(disk, &mut takes, max, now_ms);
        self.takes = takes;
        taken
    }

    pub(super) fn position(&self, number: u16) -> Result<Option<Position>, QueueError> {
        Ok(self.lane(number)?.position())
    }

    /// How much there is; everything has to be committed.
    pub(super) fn stats(&self, number: u16, now_ms: u64) -> Result<QueueStats, QueueError> {
        self.lane(number)?.stats(&self.disk, now_ms)
    }

    /// Entries in quarantine; everything has to be committed.
    pub(super) fn quarantined(
        &self,
        number: u16,
        after: Option<i64>,
        max: usize,
    ) -> Result<Vec<Quarantined>, QueueError> {
        self.lane(number)?.quarantined(&self.disk, after, max)
    }
}
