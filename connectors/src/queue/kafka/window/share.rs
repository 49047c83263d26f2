//! One partition that is ours: how far it was read, what of it is unfinished, and what follows for its commit.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Carry, Phase, Window};

/// A partition that is assigned to this process.
#[derive(Debug)]
pub(super) struct Share {
    /// The next record to be read.
    pub(super) read: i64,
    /// Records that entries hold, with the documents.
    pub(super) held: BTreeMap<i64, i64>,
    /// Records that hold the partition by themselves.
    pub(super) alone: BTreeSet<i64>,
    /// Entries that we carried and have not read again.
    pub(super) carried: HashSet<u64>,
    /// It is being let go.
    pub(super) leaving: bool,
    /// Tells this assignment of the partition from others.
    pub(super) assignment: u64,
}

impl Share {
    pub(super) fn new(read: i64, assignment: u64) -> Self {
        Self {
            read,
            held: BTreeMap::new(),
            alone: BTreeSet::new(),
            carried: HashSet::new(),
            leaving: false,
            assignment,
        }
    }

    /// The first record that is not finished.
    fn finished(&self) -> i64 {
        let held = self.held.first_key_value().map(|(offset, _)| *offset);
        [held, self.alone.first().copied(), Some(self.read)].into_iter().flatten().min().unwrap_or(self.read)
    }
}

impl Window {
    /// The partitions that are ours, each with the next record to be read.
    pub(in crate::queue::kafka) fn reads(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.shares.iter().map(|(partition, share)| (*partition, share.read))
    }

    /// Whether a partition is ours.
    pub(in crate::queue::kafka) fn owns(&self, partition: i32) -> bool {
        self.shares.contains_key(&partition)
    }

    /// Whether a record was read, or will not be: its partition is not ours, or is being let go.
    pub(in crate::queue::kafka) fn has_read(&self, partition: i32, offset: i64) -> bool {
        self.shares.get(&partition).is_none_or(|share| share.leaving || share.read > offset)
    }

    /// The partitions that are ours, each with the first record that is not finished.
    pub(in crate::queue::kafka) fn finished(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.shares.iter().map(|(partition, share)| (*partition, share.finished()))
    }

    /// Begins to carry entries that hold records far behind what was read, at most `max` of them: or one document that
    /// waits for long, or is edited all the time, would keep its partition from ever being committed.
    pub(in crate::queue::kafka) fn carry_stragglers(&mut self, behind: i64, max: usize) -> Vec<Carry> {
        let late = self.shares.values().filter(|share| !share.leaving).flat_map(|share| {
            let late = share.held.range(..share.read.saturating_sub(behind));
            late.map(|(_, document_id)| *document_id)
        });
        let late: Vec<i64> = late.take(max).collect();
        late.into_iter().filter_map(|document_id| self.begin_carry(document_id)).collect()
    }

    fn begin_carry(&mut self, document_id: i64) -> Option<Carry> {
        let number = self.number();
        let slot = self.slots.get_mut(&document_id)?;
        if matches!(slot.phase, Phase::Settling(_)) || slot.write.is_some() || slot.is_quarantined() {
            return None;
        }
        let entry = slot.entry.clone()?;
        (slot.write, slot.since) = (Some(number), None);
        self.shares.get_mut(&slot.partition)?.carried.insert(number);
        Some(Carry { number, entry })
    }

    /// An entry was written again: at `offset`, or not.
    pub(in crate::queue::kafka) fn finish_carry(&mut self, carry: &Carry, offset: Option<i64>) {
        let document_id = carry.entry.work.document_id;
        let Some(slot) = self.slots.get_mut(&document_id).filter(|slot| slot.write == Some(carry.number)) else {
            return;
        };
        slot.write = None;
        let since = slot.since.take();
        if let Some(offset) = offset {
            self.move_hold(document_id, Some(since.map_or(offset, |since| since.min(offset))));
        }
    }
}
