//! The entries of the cache queue, or of one lane, in memory.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::position::Position;
use crate::queue::entry::{Entry, Line, PREFERRED_LINES, QueueOutcome, TAKE_ORDER, Taking};
use crate::queue::settle::{SettleReport, Settled, Taken, Ticket};
use crate::queue::stats::{Quarantined, QueueStats};
use crate::queue::work::Work;

/// The entries of the cache queue or of one lane, with its state.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) epoch: Uuid,
    pub(super) paused: bool,
    pub(super) position: Option<Position>,
    pub(super) notes: BTreeMap<String, Vec<u8>>,
    slots: BTreeMap<i64, Slot>,
    turn: usize,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    taken: Option<Taking>,
}

impl Entries {
    pub(super) fn new() -> Self {
        Self {
            epoch: Uuid::new_v4(),
            paused: false,
            position: None,
            notes: BTreeMap::new(),
            slots: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Forgets which entries are in flight, as a crash does.
    pub(super) fn crash(&mut self) {
        self.turn = 0;
        for slot in self.slots.values_mut() {
            slot.taken = None;
        }
    }

    pub(super) fn put(&mut self, work: Work) {
        if let Some(slot) = self.slots.get_mut(&work.document_id) {
            if slot.entry.add(&work)
                && let Some(taken) = &mut slot.taken
            {
                taken.added(work.first_enqueued_at_ms);
            }
        } else {
            self.slots.insert(work.document_id, Slot { entry: Entry::new(work), taken: None });
        }
    }

    pub(super) fn take(&mut self, takes: &mut u64, max: usize, now_ms: u64) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < max && !self.paused {
            let mut lines = [PREFERRED_LINES[self.turn % PREFERRED_LINES.len()]].into_iter().chain(TAKE_ORDER);
            let Some(document_id) = lines.find_map(|line| self.first(line, now_ms)) else { break };
            let Some(slot) = self.slots.get_mut(&document_id) else { break };
            self.turn = (self.turn + 1) % PREFERRED_LINES.len();
            *takes += 1;
            slot.taken = Some(Taking::new(*takes));
            taken.push(Taken { ticket: Ticket { document_id, take: *takes }, work: slot.entry.work.clone() });
        }
        taken
    }

    fn first(&self, line: Line, now_ms: u64) -> Option<i64> {
        let waiting = self.slots.iter().filter(|(_, slot)| {
            slot.taken.is_none() && slot.entry.place().0 == line && slot.entry.work.not_before_ms <= now_ms
        });
        waiting.min_by_key(|(id, slot)| (slot.entry.place(), **id)).map(|(id, _)| *id)
    }

    /// Settles an entry; returns the work to deliver.
    pub(super) fn settle(
        &mut self,
        (ticket, settled): (Ticket, Settled),
        (now_ms, attempts_max): (u64, u32),
        report: &mut SettleReport,
    ) -> Option<Work> {
        let slot = self.slots.get_mut(&ticket.document_id);
        let Some((slot, taking)) = slot.and_then(|slot| {
            let taking = slot.taken.filter(|taken| taken.take == ticket.take)?;
            Some((slot, taking))
        }) else {
            report.unknown += 1;
            return None;
        };
        slot.taken = None;
        let settlement = slot.entry.settle(taking, settled, now_ms, attempts_max);
        if settlement.outcome == QueueOutcome::Removed {
            self.slots.remove(&ticket.document_id);
        }
        report.count(settlement.outcome);
        settlement.delivery
    }

    /// Returns the time at which the next entry that is not in flight may be taken.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let waiting = self.slots.values().filter(|slot| slot.taken.is_none() && !slot.entry.quarantined);
        waiting.map(|slot| slot.entry.work.not_before_ms).filter(|_| !self.paused).min()
    }

    pub(super) fn stats(&self, now_ms: u64) -> QueueStats {
        let mut stats = QueueStats::default();
        for slot in self.slots.values() {
            let line = slot.entry.place().0;
            if line == Line::Quarantine {
                stats.quarantined += 1;
                continue;
            }
            stats.depth += 1;
            stats.touches += u64::from(line == Line::Touch);
            stats.delayed += u64::from(line == Line::Delayed);
            stats.in_flight += u64::from(slot.taken.is_some());
            let age_ms = now_ms.saturating_sub(slot.entry.work.first_enqueued_at_ms);
            stats.oldest_age_ms = stats.oldest_age_ms.max(age_ms);
        }
        stats
    }

    pub(super) fn quarantined(&self, after_document_id: Option<i64>, max: usize) -> Vec<Quarantined> {
        let entries = self.slots.values().map(|slot| &slot.entry).filter(|entry| entry.quarantined);
        let after = entries.filter(|entry| after_document_id.is_none_or(|after| entry.work.document_id > after));
        after.take(max).cloned().map(Quarantined::from).collect()
    }

    /// Makes quarantined entries ready again; returns their number.
    pub(super) fn release(&mut self, document_ids: Vec<i64>) -> u64 {
        let mut released = 0;
        for document_id in document_ids {
            let Some(slot) = self.slots.get_mut(&document_id).filter(|slot| slot.entry.quarantined) else { continue };
            slot.entry.release();
            released += 1;
        }
        released
    }

    /// Drops quarantined entries; returns their number.
    pub(super) fn discard(&mut self, document_ids: Vec<i64>) -> u64 {
        let before = self.slots.len();
        for document_id in document_ids {
            if self.slots.get(&document_id).is_some_and(|slot| slot.entry.quarantined) {
                self.slots.remove(&document_id);
            }
        }
        (before - self.slots.len()) as u64
    }
}
