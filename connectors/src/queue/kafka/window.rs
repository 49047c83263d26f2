//! The window: the coalesced entries of the partitions assigned to this process, and how far each partition is finished.
//!
//! Pure: no broker, no clock, no task. An entry *holds* the oldest record whose work is still pending in it. Records
//! before the oldest held record of a partition are finished and may be committed; no others are. After a crash the next
//! owner reads everything from there again, so younger records that were added to an entry need no accounting.
//!
//! An entry whose state must survive a crash is *carried*: written again at the end of its partition, as it is now. Once
//! that write is acknowledged, the entry holds the new record, or the oldest record added while it was being written.

mod partitions;
pub(super) mod settling;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use millstream_pipeline::queue::entry::{Entry, Line, PREFERRED_LINES, Place, TAKE_ORDER, Taking};
use millstream_pipeline::queue::{QueueStats, Taken, Ticket, Work};

/// A record of the work topic, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Work that was put.
    Put(Work),
    /// An entry as an earlier owner of the partition wrote it.
    Carried(Entry),
    /// An entry that this process carried itself; it adds nothing.
    OwnCarry(u64),
    /// An operator releases a document from quarantine.
    Release(QuarantineCommand),
    /// An operator discards the entry of a document in quarantine.
    Discard(QuarantineCommand),
}

/// An operator's command for a document that was in quarantine when it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QuarantineCommand {
    pub(super) document_id: i64,
    /// Identifies the failure that the operator saw; a later failure is not affected.
    pub(super) last_failed_at_ms: u64,
}

/// A write that a consumed record requires before the record counts as finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MaintenanceWrite {
    /// Work was added to a document in quarantine: write its quarantine entry again.
    Mirror { document_id: i64 },
    /// A document was discarded: remove its quarantine entry. The command's record holds its partition until then.
    Forget { document_id: i64, held: HeldRecord },
}

/// A record that holds its partition without belonging to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeldRecord {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// The assignment of the partition under which it was read.
    assignment: u64,
}

/// An entry to be written again at the end of its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carry {
    pub(super) number: u64,
    pub(super) entry: Entry,
}

#[derive(Debug, Clone, Copy)]
enum EntryPhase {
    Waiting,
    Flying(Taking),
    /// The result of the taking with this number is being written.
    Settling(u64),
}

#[derive(Debug)]
struct EntrySlot {
    partition: i32,
    /// `None` while its removal is being written and nothing was added since.
    entry: Option<Entry>,
    phase: EntryPhase,
    /// The oldest record whose work is pending in this entry; `None` if the quarantine topic has the entry as it is.
    hold: Option<i64>,
    /// The oldest record added since the present write of the entry began.
    since: Option<i64>,
    /// The number of the write in progress, unless it is a settlement.
    write: Option<u64>,
    /// The quarantine topic has a record of this document.
    mirrored: bool,
    /// Its place in a line, while it waits.
    row: Option<Place>,
}

impl EntrySlot {
    const fn vacant(partition: i32) -> Self {
        Self {
            partition,
            entry: None,
            phase: EntryPhase::Waiting,
            hold: None,
            since: None,
            write: None,
            mirrored: false,
            row: None,
        }
    }

    fn is_quarantined(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.quarantined)
    }
}

/// One assigned partition.
#[derive(Debug)]
pub(super) struct PartitionState {
    /// The next offset to read.
    pub(super) read: i64,
    /// Records held by entries, with their documents.
    pub(super) held: BTreeMap<i64, i64>,
    /// Records that hold the partition without an entry ([`HeldRecord`]).
    pub(super) held_alone: BTreeSet<i64>,
    /// Numbers of carried entries that were not read again yet.
    pub(super) carried: HashSet<u64>,
    /// The partition is being revoked.
    pub(super) leaving: bool,
    /// Distinguishes this assignment of the partition from others.
    pub(super) assignment: u64,
}

impl PartitionState {
    pub(super) fn new(read: i64, assignment: u64) -> Self {
        Self {
            read,
            held: BTreeMap::new(),
            held_alone: BTreeSet::new(),
            carried: HashSet::new(),
            leaving: false,
            assignment,
        }
    }

    /// Returns the first offset that is not finished.
    fn finished(&self) -> i64 {
        let held = self.held.first_key_value().map(|(offset, _)| *offset);
        [held, self.held_alone.first().copied(), Some(self.read)].into_iter().flatten().min().unwrap_or(self.read)
    }
}

/// The entries of the assigned partitions.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: HashMap<i64, EntrySlot>,
    lines: [BTreeSet<(u64, i64)>; 4],
    partitions: BTreeMap<i32, PartitionState>,
    turn: usize,
    /// The last number given to a taking, write or assignment; each is used once.
    numbers: u64,
}

const fn index(line: Line) -> usize {
    match line {
        Line::Direct => 0,
        Line::Touch => 1,
        Line::Delayed => 2,
        Line::Quarantine => 3,
    }
}

impl Window {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Applies one record.
    pub(super) fn take_in(&mut self, partition: i32, offset: i64, arrival: Arrival) -> Option<MaintenanceWrite> {
        let state = self.partitions.get_mut(&partition)?;
        state.read = state.read.max(offset + 1);
        match arrival {
            Arrival::Put(work) => self.add(partition, offset, Entry::new(work), false),
            Arrival::Carried(entry) => self.add(partition, offset, entry, true),
            Arrival::OwnCarry(number) => {
                state.carried.remove(&number);
                None
            }
            Arrival::Release(command) => {
                self.release_one(offset, command);
                None
            }
            Arrival::Discard(command) => self.discard_one(partition, offset, command),
        }
    }

    /// Returns whether this process carried an entry with this number under the present assignment.
    pub(super) fn is_own_carry(&self, partition: i32, number: u64) -> bool {
        self.partitions.get(&partition).is_some_and(|state| state.carried.contains(&number))
    }

    fn add(&mut self, partition: i32, offset: i64, arrived: Entry, carried: bool) -> Option<MaintenanceWrite> {
        let document_id = arrived.work.document_id;
        let slot = self.slots.entry(document_id).or_insert_with(|| EntrySlot::vacant(partition));
        let was_quarantined = slot.is_quarantined();
        let before = slot.entry.as_ref().map(|entry| entry.work.clone());
        let enqueued_at_ms = arrived.work.first_enqueued_at_ms;
        let news = match &mut slot.entry {
            Some(entry) => {
                let news = entry.add(&arrived.work);
                if carried && matches!(slot.phase, EntryPhase::Waiting) && !entry.quarantined {
                    resume(entry, &arrived);
                }
                news
            }
            vacant => {
                *vacant = Some(arrived);
                true
            }
        };
        if let EntryPhase::Flying(taking) = &mut slot.phase
            && news
        {
            taking.added(enqueued_at_ms);
        }
        let unchanged = slot.entry.as_ref().map(|entry| &entry.work) == before.as_ref();
        if was_quarantined && slot.is_quarantined() && unchanged {
            return None;
        }
        let write = (was_quarantined && slot.is_quarantined()).then_some(MaintenanceWrite::Mirror { document_id });
        self.keep_hold(document_id, offset);
        self.line_up(document_id);
        write
    }

    /// Makes the entry hold a record that a write in progress does not contain.
    fn keep_hold(&mut self, document_id: i64, offset: i64) {
        let Some(slot) = self.slots.get_mut(&document_id) else { return };
        if matches!(slot.phase, EntryPhase::Settling(_)) || slot.write.is_some() {
            slot.since.get_or_insert(offset);
        }
        if slot.hold.is_none() {
            slot.hold = Some(offset);
            if let Some(state) = self.partitions.get_mut(&slot.partition) {
                state.held.insert(offset, document_id);
            }
        }
    }

    /// Makes the entry hold another record, or none.
    fn move_hold(&mut self, document_id: i64, to: Option<i64>) {
        let Some(slot) = self.slots.get_mut(&document_id) else { return };
        let from = std::mem::replace(&mut slot.hold, to);
        let Some(state) = self.partitions.get_mut(&slot.partition) else { return };
        if let Some(offset) = from {
            state.held.remove(&offset);
        }
        if let Some(offset) = to {
            state.held.insert(offset, document_id);
        }
    }

    fn release_one(&mut self, offset: i64, command: QuarantineCommand) {
        let Some(slot) = self.slots.get_mut(&command.document_id) else { return };
        let Some(entry) = slot.entry.as_mut().filter(|entry| is_meant(entry, command)) else { return };
        entry.release();
        self.keep_hold(command.document_id, offset);
        self.line_up(command.document_id);
    }

    fn discard_one(&mut self, partition: i32, offset: i64, command: QuarantineCommand) -> Option<MaintenanceWrite> {
        let document_id = command.document_id;
        let slot = self.slots.get(&document_id)?;
        if !slot.entry.as_ref().is_some_and(|entry| is_meant(entry, command)) {
            return None;
        }
        self.move_hold(document_id, None);
        self.leave_line(document_id);
        self.slots.remove(&document_id);
        Some(MaintenanceWrite::Forget { document_id, held: self.hold_alone(partition, offset)? })
    }

    /// Makes an unreadable record hold its partition until a copy of it is stored in the quarantine topic.
    pub(super) fn refuse(&mut self, partition: i32, offset: i64) -> Option<HeldRecord> {
        let state = self.partitions.get_mut(&partition)?;
        state.read = state.read.max(offset + 1);
        self.hold_alone(partition, offset)
    }

    /// Makes a record hold its partition without an entry, until [`Window::let_go`].
    fn hold_alone(&mut self, partition: i32, offset: i64) -> Option<HeldRecord> {
        let state = self.partitions.get_mut(&partition)?;
        state.held_alone.insert(offset);
        Some(HeldRecord { partition, offset, assignment: state.assignment })
    }

    /// Releases a record that was held without an entry: its work is finished.
    pub(super) fn let_go(&mut self, held: HeldRecord) {
        if let Some(state) =
            self.partitions.get_mut(&held.partition).filter(|state| state.assignment == held.assignment)
        {
            state.held_alone.remove(&held.offset);
        }
    }

    /// Takes entries that are ready, and returns them with tickets.
    pub(super) fn take(&mut self, max: usize, now_ms: u64) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let lines = [PREFERRED_LINES[self.turn]].into_iter().chain(TAKE_ORDER);
            let Some(document_id) = lines.filter_map(|line| self.first(line, now_ms)).next() else { break };
            let take = self.number();
            self.turn = (self.turn + 1) % PREFERRED_LINES.len();
            self.leave_line(document_id);
            let Some(slot) = self.slots.get_mut(&document_id) else { break };
            slot.phase = EntryPhase::Flying(Taking::new(take));
            let Some(entry) = &slot.entry else { break };
            taken.push(Taken { ticket: Ticket::new(document_id, take), work: entry.work.clone() });
        }
        taken
    }

    fn first(&self, line: Line, now_ms: u64) -> Option<i64> {
        let (order, document_id) = self.lines[index(line)].first()?;
        (line != Line::Delayed || *order <= now_ms).then_some(*document_id)
    }

    /// Returns the time at which the next entry may be taken; 0 for now.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let due_ms = |line| self.lines[index(line)].first().map(|row| if line == Line::Delayed { row.0 } else { 0 });
        TAKE_ORDER.into_iter().filter_map(due_ms).min()
    }

    /// Puts an entry into its line, if it may be taken or is in quarantine.
    fn line_up(&mut self, document_id: i64) {
        self.leave_line(document_id);
        let Some(slot) = self.slots.get_mut(&document_id) else { return };
        let leaving = self.partitions.get(&slot.partition).is_none_or(|state| state.leaving);
        let Some(entry) = &slot.entry else { return };
        if matches!(slot.phase, EntryPhase::Waiting) && (!leaving || entry.quarantined) {
            let place = entry.place();
            slot.row = Some(place);
            self.lines[index(place.0)].insert((place.1, document_id));
        }
    }

    fn leave_line(&mut self, document_id: i64) {
        if let Some((line, order)) = self.slots.get_mut(&document_id).and_then(|slot| slot.row.take()) {
            self.lines[index(line)].remove(&(order, document_id));
        }
    }

    /// Counts entries against the window's limits: those ready or in flight, and those that are delayed.
    pub(super) fn occupied(&self) -> (usize, usize) {
        let delayed = self.lines[index(Line::Delayed)].len();
        (self.slots.len() - delayed - self.lines[index(Line::Quarantine)].len(), delayed)
    }

    /// Counts the entries read so far.
    pub(super) fn stats(&self, now_ms: u64) -> QueueStats {
        let mut stats = QueueStats::default();
        for slot in self.slots.values() {
            let Some(entry) = &slot.entry else { continue };
            let line = entry.place().0;
            if line == Line::Quarantine {
                stats.quarantined += 1;
                continue;
            }
            stats.depth += 1;
            stats.touches += u64::from(line == Line::Touch);
            stats.delayed += u64::from(line == Line::Delayed);
            stats.in_flight += u64::from(!matches!(slot.phase, EntryPhase::Waiting));
            stats.oldest_age_ms = stats.oldest_age_ms.max(now_ms.saturating_sub(entry.work.first_enqueued_at_ms));
        }
        stats
    }

    /// Returns the quarantined entries of the assigned partitions.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = &Entry> {
        self.slots.values().filter_map(|slot| slot.entry.as_ref()).filter(|entry| entry.quarantined)
    }
}

/// Restores attempts, delay and failure of a carried entry, unless the window has a newer version.
fn resume(entry: &mut Entry, carried: &Entry) {
    if entry.work.version == carried.work.version {
        entry.work.attempts = entry.work.attempts.max(carried.work.attempts);
        entry.work.not_before_ms = entry.work.not_before_ms.max(carried.work.not_before_ms);
        entry.failure = carried.failure.clone().or_else(|| entry.failure.take());
    }
}

fn is_meant(entry: &Entry, command: QuarantineCommand) -> bool {
    let last_failed_at_ms = entry.failure.as_ref().map_or(0, |failure| failure.last_ms);
    entry.quarantined && last_failed_at_ms == command.last_failed_at_ms
}

#[cfg(test)]
mod tests;
