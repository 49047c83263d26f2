//! Settling an entry in two steps: what became of it is decided, then written, and only then does it let go of its record.

use millstream_pipeline::queue::entry::{Entry, QueueOutcome};
use millstream_pipeline::queue::{Settled, Ticket, Work};

use super::{Carry, Chore, Phase, Window};

/// A settlement that was decided and has to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::queue::kafka) struct Settling {
    pub(in crate::queue::kafka) document_id: i64,
    pub(in crate::queue::kafka) fate: QueueOutcome,
    /// What every lane gets, first of all.
    pub(in crate::queue::kafka) delivery: Option<Work>,
    /// The entry as it goes on.
    pub(in crate::queue::kafka) carry: Option<Carry>,
    /// The quarantine topic has to be told, last of all.
    pub(in crate::queue::kafka) mirror: bool,
    take: u64,
    /// What the entry was, if it ends.
    ended: Option<Entry>,
}

impl Window {
    /// Decides what becomes of an entry. `None` for a ticket that is good for nothing (any more).
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
        let Phase::Flying(taking) = slot.phase else { return None };
        if taking.take != take {
            return None;
        }
        let mut entry = slot.entry.take()?;
        let settlement = entry.settle(taking, settled, now_ms, attempts_max);
        (slot.phase, slot.write, slot.since) = (Phase::Settling(take), None, None);
        let added = taking.added_at_ms.is_some();
        let mirror = slot.mirrored && !added || settlement.outcome == QueueOutcome::Quarantined;
        let mut settling = Settling {
            document_id,
            fate: settlement.outcome,
            delivery: settlement.delivery,
            carry: None,
            mirror,
            take,
            ended: None,
        };
        match settlement.outcome {
            QueueOutcome::Removed => settling.ended = Some(entry),
            // The records of what was added say all that is owed.
            QueueOutcome::Kept if added => slot.entry = Some(entry),
            QueueOutcome::Kept => {
                settling.carry = Some(Carry { number, entry: entry.clone() });
                slot.entry = Some(entry);
                self.shares.get_mut(&slot.partition)?.carried.insert(number);
            }
            QueueOutcome::Quarantined => slot.entry = Some(entry),
        }
        Some(settling)
    }

    /// All of it is written; the entry that was carried at `carried_at`.
    pub(in crate::queue::kafka) fn finish_settle(
        &mut self,
        settling: &Settling,
        carried_at: Option<i64>,
    ) -> Option<Chore> {
        let document_id = settling.document_id;
        let slot = self.slots.get_mut(&document_id)?;
        if !matches!(slot.phase, Phase::Settling(take) if take == settling.take) {
            return None;
        }
        let since = slot.since.take();
        slot.phase = Phase::Waiting;
        slot.mirrored = slot.is_quarantined() || slot.mirrored && !settling.mirror;
        let mut chore = None;
        match settling.fate {
            QueueOutcome::Kept if settling.carry.is_none() => {}
            QueueOutcome::Kept => {
                let hold = [since, carried_at].into_iter().flatten().min();
                self.move_hold(document_id, hold);
            }
            QueueOutcome::Quarantined => {
                // Something was added while the quarantine was written: it may not be in there.
                chore = since.filter(|_| slot.is_quarantined()).map(|_| Chore::Mirror { document_id });
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
        chore
    }

    /// It could not be written: the entry waits again with all that it was owed.
    pub(in crate::queue::kafka) fn abort_settle(&mut self, settling: Settling) {
        let document_id = settling.document_id;
        let Some(slot) = self.slots.get_mut(&document_id) else { return };
        if !matches!(slot.phase, Phase::Settling(take) if take == settling.take) {
            return;
        }
        (slot.phase, slot.since) = (Phase::Waiting, None);
        if let Some(mut entry) = settling.ended {
            if let Some(added) = slot.entry.take() {
                entry.add(&added.work);
            }
            slot.entry = Some(entry);
        }
        self.line_up(document_id);
    }

    /// What the quarantine topic has to say of a document now: an entry, or that there is none.
    pub(in crate::queue::kafka) fn quarantine_of(&self, document_id: i64) -> Option<Entry> {
        let entry = self.slots.get(&document_id).and_then(|slot| slot.entry.as_ref());
        entry.filter(|entry| entry.quarantined).cloned()
    }

    /// Begins to write a document's quarantine again.
    pub(in crate::queue::kafka) fn begin_mirror(&mut self, document_id: i64) -> Option<u64> {
        let number = self.number();
        let slot = self.slots.get_mut(&document_id).filter(|slot| slot.is_quarantined())?;
        (slot.write, slot.since) = (Some(number), None);
        Some(number)
    }

    /// The quarantine topic has what [`Window::begin_mirror`] found, at least.
    pub(in crate::queue::kafka) fn finish_mirror(&mut self, document_id: i64, number: u64) {
        let Some(slot) = self.slots.get_mut(&document_id).filter(|slot| slot.write == Some(number)) else { return };
        let since = slot.since.take();
        slot.write = None;
        if slot.is_quarantined() || since.is_some() {
            self.move_hold(document_id, since);
        }
    }
}
