//! The partitions of the window: assignment, release, read offsets, and the offsets that may be committed.

use millstream_pipeline::queue::entry::Entry;

use super::{Carry, EntryPhase, EntrySlot, PartitionState, Window};

impl Window {
    /// Adds a partition with its quarantined entries; `read` is the first offset to read.
    pub(in crate::queue::kafka) fn assign(&mut self, partition: i32, read: i64, quarantined: Vec<Entry>) {
        let assignment = self.number();
        self.partitions.insert(partition, PartitionState::new(read, assignment));
        for entry in quarantined {
            let document_id = entry.work.document_id;
            let slot = EntrySlot { entry: Some(entry), mirrored: true, ..EntrySlot::vacant(partition) };
            self.slots.insert(document_id, slot);
            self.line_up(document_id);
        }
    }

    /// Stops handing out entries of these partitions, which are being revoked.
    pub(in crate::queue::kafka) fn hold_back(&mut self, partitions: &[i32]) {
        for partition in partitions {
            if let Some(state) = self.partitions.get_mut(partition) {
                state.leaving = true;
            }
        }
        let documents: Vec<i64> = self.documents_of(partitions).collect();
        documents.into_iter().for_each(|document_id| self.line_up(document_id));
    }

    /// Removes partitions with all their entries.
    pub(in crate::queue::kafka) fn release(&mut self, partitions: &[i32]) {
        let documents: Vec<i64> = self.documents_of(partitions).collect();
        for document_id in documents {
            self.leave_line(document_id);
            self.slots.remove(&document_id);
        }
        self.partitions.retain(|partition, _| !partitions.contains(partition));
    }

    fn documents_of<'a>(&'a self, partitions: &'a [i32]) -> impl Iterator<Item = i64> + 'a {
        self.slots.iter().filter(|(_, slot)| partitions.contains(&slot.partition)).map(|(document_id, _)| *document_id)
    }

    /// Counts the entries of these partitions that are in flight or being settled.
    pub(in crate::queue::kafka) fn in_flight(&self, partitions: &[i32]) -> usize {
        let slots = self.slots.values().filter(|slot| partitions.contains(&slot.partition));
        slots.filter(|slot| !matches!(slot.phase, EntryPhase::Waiting)).count()
    }

    /// Returns the assigned partitions, each with the next offset to read.
    pub(in crate::queue::kafka) fn reads(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.partitions.iter().map(|(partition, state)| (*partition, state.read))
    }

    /// Returns whether a partition is assigned.
    pub(in crate::queue::kafka) fn owns(&self, partition: i32) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// Returns the partitions that are not being revoked, each with the next offset to read.
    pub(in crate::queue::kafka) fn active_reads(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        let active = self.partitions.iter().filter(|(_, state)| !state.leaving);
        active.map(|(partition, state)| (*partition, state.read))
    }

    /// Returns the assigned partitions, each with the offset that may be committed: its first unfinished one.
    pub(in crate::queue::kafka) fn finished(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.partitions.iter().map(|(partition, state)| (*partition, state.finished()))
    }

    /// Selects at most `max` entries to carry (write again at the end of their partition): those that hold a record
    /// more than `behind` offsets before the next offset to read. Without it, a document that waits for long or is
    /// edited all the time would block the commits of its partition.
    pub(in crate::queue::kafka) fn carry_stragglers(&mut self, behind: i64, max: usize) -> Vec<Carry> {
        let late = self.partitions.values().filter(|state| !state.leaving).flat_map(|state| {
            let late = state.held.range(..state.read.saturating_sub(behind));
            late.map(|(_, document_id)| *document_id)
        });
        let late: Vec<i64> = late.take(max).collect();
        late.into_iter().filter_map(|document_id| self.begin_carry(document_id)).collect()
    }

    /// Marks an entry as being carried; `None` if it is being written already, or is in quarantine.
    fn begin_carry(&mut self, document_id: i64) -> Option<Carry> {
        let number = self.number();
        let slot = self.slots.get_mut(&document_id)?;
        if matches!(slot.phase, EntryPhase::Settling(_)) || slot.write.is_some() || slot.is_quarantined() {
            return None;
        }
        let entry = slot.entry.clone()?;
        (slot.write, slot.since) = (Some(number), None);
        self.partitions.get_mut(&slot.partition)?.carried.insert(number);
        Some(Carry { number, entry })
    }

    /// Ends a carry. The entry then holds the record at `offset`, or an older one added meanwhile; `None` if the write
    /// failed.
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
