//! Settling an entry in two steps: the outcome is decided, then written; only then does the entry stop holding its record.

use millstream_pipeline::queue::entry::{Entry, QueueOutcome};
use millstream_pipeline::queue::{Settled, Ticket, Work};

use super::{Carry, EntryPhase, MaintenanceWrite, Window};

/// A settlement that was decided and is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::queue::kafka) struct Settling {
    pub(in crate::queue::kafka) document_id: i64,
    pub(in crate::queue::kafka) outcome: QueueOutcome,
    /// Work for every lane; written first.
    pub(in crate::queue::kafka) delivery: Option<Work>,
    /// The entry, if it stays and has to be carried.
    pub(in crate::queue::kafka) carry: Option<Carry>,
    /// The quarantine topic has to be updated; written last.
    pub(in crate::queue::kafka) mirror: bool,
    take: u64,
    /// The entry as it was, if it is removed.
    ended: Option<Entry>,
}

impl Window {
    /// Undoes the taking of an entry that did not reach its taker.
    pub(in crate::queue::kafka) fn put_back(&mut self, ticket: Ticket) {
        let document_id = ticket.document_id();
        let Some(slot) = self.slots.get_mut(&document_id) else { return };
        if matches!(slot.phase, EntryPhase::Flying(taking) if taking.take == ticket.take()) {
            slot.phase = EntryPhase::Waiting;
            self.line_up(document_id);
        }
    }

    /// Decides the outcome of an entry. Returns `None` for a ticket that is unknown or was settled before.
    pub(in crate::queue::kafka) fn begin_settle(
        &mut self,
        ticket: Ticket,
        settled: Settled,
        now_ms: u64,
        attempts_max: u32,
    ) -> Option<Settling> {
        let (document_id, take) = (ticket.document_id(), ticket.take());
        let number = self.number();
        let slot = self.slots.get_mut(&document_id)?;
        let EntryPhase::Flying(taking) = slot.phase else { return None };
        if taking.take != take {
            return None;
        }
        let mut entry = slot.entry.take()?;
        let settlement = entry.settle(taking, settled, now_ms, attempts_max);
        (slot.phase, slot.write, slot.since) = (EntryPhase::Settling(take), None, None);
        let added = taking.added_at_ms.is_some();
        let mirror = slot.mirrored && !added || settlement.outcome == QueueOutcome::Quarantined;
        let mut settling = Settling {
            document_id,
            outcome: settlement.outcome,
            delivery: settlement.delivery,
            carry: None,
            mirror,
            take,
            ended: None,
        };
        match settlement.outcome {
            QueueOutcome::Removed => settling.ended = Some(entry),
            // The records that were added describe all the pending work.
            QueueOutcome::Kept if added => slot.entry = Some(entry),
            QueueOutcome::Kept => {
                settling.carry = Some(Carry { number, entry: entry.clone() });
                slot.entry = Some(entry);
                self.partitions.get_mut(&slot.partition)?.carried.insert(number);
            }
            QueueOutcome::Quarantined => slot.entry = Some(entry),
        }
        Some(settling)
    }

    /// Completes a settlement that was written, with the carried entry at the offset `carried_at`.
    pub(in crate::queue::kafka) fn finish_settle(
        &mut self,
        settling: &Settling,
        carried_at: Option<i64>,
    ) -> Option<MaintenanceWrite> {
        let document_id = settling.document_id;
        let slot = self.slots.get_mut(&document_id)?;
        if !matches!(slot.phase, EntryPhase::Settling(take) if take == settling.take) {
            return None;
        }
        let since = slot.since.take();
        slot.phase = EntryPhase::Waiting;
        // Work added meanwhile may have ended a quarantine after its entry was written.
        let may_have_entry = settling.mirror && since.is_some();
        slot.mirrored = slot.is_quarantined() || slot.mirrored && !settling.mirror || may_have_entry;
        let mut write = None;
        match settling.outcome {
            QueueOutcome::Kept if settling.carry.is_none() => {}
            QueueOutcome::Kept => {
                let hold = [since, carried_at].into_iter().flatten().min();
                self.move_hold(document_id, hold);
            }
            // A newer version ended the quarantine: the work of all records is pending again.
            QueueOutcome::Quarantined if !slot.is_quarantined() => {}
            QueueOutcome::Quarantined => {
                // Work added while the quarantine entry was being written may be missing from it.
                write = since.map(|_| MaintenanceWrite::Mirror { document_id });
                self.move_hold(document_id, since);
            }
            QueueOutcome::Removed => {
                let is_over = slot.entry.is_none();
                self.move_hold(document_id, since);
                if is_over {
                    self.slots.remove(&document_id);
                }
            }
        }
        self.line_up(document_id);
        write
    }

    /// Undoes a settlement that could not be written: the entry waits again with all its work.
    pub(in crate::queue::kafka) fn abort_settle(&mut self, settling: Settling) {
        let document_id = settling.document_id;
        let Some(slot) = self.slots.get_mut(&document_id) else { return };
        if !matches!(slot.phase, EntryPhase::Settling(take) if take == settling.take) {
            return;
        }
        (slot.phase, slot.since) = (EntryPhase::Waiting, None);
        if let Some(mut entry) = settling.ended {
            if let Some(added) = slot.entry.take() {
                entry.add(&added.work);
            }
            slot.entry = Some(entry);
        }
        self.line_up(document_id);
    }

    /// Returns the entry that the quarantine topic has to hold for a document now, if any.
    pub(in crate::queue::kafka) fn quarantine_of(&self, document_id: i64) -> Option<Entry> {
        let entry = self.slots.get(&document_id).and_then(|slot| slot.entry.as_ref());
        entry.filter(|entry| entry.quarantined).cloned()
    }

    /// Begins to write a document's quarantine entry again. Returns the number of the write.
    pub(in crate::queue::kafka) fn begin_mirror(&mut self, document_id: i64) -> Option<u64> {
        let number = self.number();
        let slot = self.slots.get_mut(&document_id).filter(|slot| slot.is_quarantined())?;
        (slot.write, slot.since) = (Some(number), None);
        Some(number)
    }

    /// Ends the write: the quarantine topic has at least the entry that [`Window::begin_mirror`] found.
    pub(in crate::queue::kafka) fn finish_mirror(&mut self, document_id: i64, number: u64) {
        let Some(slot) = self.slots.get_mut(&document_id).filter(|slot| slot.write == Some(number)) else { return };
        let since = slot.since.take();
        slot.write = None;
        if slot.is_quarantined() || since.is_some() {
            self.move_hold(document_id, since);
        }
    }
}
