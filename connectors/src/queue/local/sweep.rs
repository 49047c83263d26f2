//! Clearing of removed lanes, in steps that delay other commands only briefly.

use fjall::Keyspace;
use millstream_pipeline::queue::QueueError;

use super::codec;
use super::disk::{Disk, StoreResultExt};

/// Keys that one step removes. A command that arrives meanwhile waits for one step at most.
pub(super) const STEP_KEYS: usize = 128;

/// The clearing of one lane. Its progress is in memory only: after a restart it walks over the removed keys again.
#[derive(Debug)]
pub(super) struct Sweep {
    lane: u16,
    target: SweepTarget,
    /// The last key removed from the target.
    after: Option<Vec<u8>>,
}

/// The key spaces, in the order of clearing. The record that marks the lane as removed is in the last one.
#[derive(Debug, Clone, Copy)]
enum SweepTarget {
    Work,
    Order,
    Meta,
}

impl Sweep {
    pub(super) const fn of(lane: u16) -> Self {
        Self { lane, target: SweepTarget::Work, after: None }
    }

    /// Removes some keys. Returns whether the lane is cleared.
    pub(super) fn step(&mut self, disk: &Disk) -> Result<bool, QueueError> {
        let lane = self.lane.to_be_bytes();
        let cleared = match self.target {
            SweepTarget::Work => self.clear(disk, &disk.work, &lane)?,
            SweepTarget::Order => self.clear(disk, &disk.order, &lane)?,
            SweepTarget::Meta => self.clear(disk, &disk.meta, &codec::lane_prefix(self.lane))?,
        };
        match (cleared, self.target) {
            (false, _) => return Ok(false),
            (true, SweepTarget::Work) => (self.target, self.after) = (SweepTarget::Order, None),
            (true, SweepTarget::Order) => (self.target, self.after) = (SweepTarget::Meta, None),
            (true, SweepTarget::Meta) => return Ok(true),
        }
        Ok(false)
    }

    /// Removes some keys that begin with `prefix`. Returns whether there were none.
    fn clear(&mut self, disk: &Disk, keyspace: &Keyspace, prefix: &[u8]) -> Result<bool, QueueError> {
        let from = self.after.clone().unwrap_or_else(|| prefix.to_vec());
        let mut batch = disk.batch(false);
        let mut last = None;
        for guard in keyspace.range(from..).take(STEP_KEYS) {
            let key = guard.key().during("reading")?;
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
        batch.commit().during("clearing a removed lane")?;
        Ok(false)
    }
}
