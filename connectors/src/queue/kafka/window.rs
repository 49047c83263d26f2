//! What a member has in hand: the entries of its partitions, coalesced, and how far each partition is finished.
//!
//! Pure: no broker, no clock, no task. An entry *holds* the oldest record that is still owed through it. What is before
//! the oldest held record of a partition is finished and may be committed, and nothing else is: a crash reads everything
//! again from there, so younger records that were added to an entry need no account of their own.
//!
//! An entry whose state has to outlive a crash is *carried*: written again at the end of its partition, as it is now.
//! Once that is acknowledged it holds the new record instead, or what was added to it while it was being written.

mod settling;
mod share;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use millstream_pipeline::queue::entry::{Entry, Line, Place, TAKEN_FROM, TURNS, Taking};
use millstream_pipeline::queue::{QueueStats, Taken, Ticket, Work};

pub(super) use self::settling::Settling;
use self::share::Share;

/// A record of the topic, as far as the window cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Work that was put.
    Put(Work),
    /// An entry as an earlier member left it.
    Carried(Entry),
    /// An entry that this member carried itself; nothing in it is new.
    OwnCarry(u64),
    /// An operator wants a document in quarantine tried again.
    Release(Command),
    /// An operator gives up what is owed to a document in quarantine.
    Discard(Command),
}

/// What an operator wants of a document that was in quarantine when asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) document_id: i64,
    /// Which failure was meant: not one that came later.
    pub(super) last_failed_at_ms: u64,
}

/// What has to be written because of a record, before the record counts as finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chore {
    /// An obligation was added to a document in quarantine.
    Mirror { document_id: i64 },
    /// A document was given up; the command that said so holds its partition.
    Forget { document_id: i64, held: Held },
}

/// A record that holds its partition by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Of the partition's assignment to us.
    assignment: u64,
}

/// An entry to be written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carry {
    pub(super) number: u64,
    pub(super) entry: Entry,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Waiting,
    Flying(Taking),
    /// What became of the taking is being written.
    Settling(u64),
}

#[derive(Debug)]
struct Slot {
    partition: i32,
    /// `None` while its end is being written and nothing was added since.
    entry: Option<Entry>,
    phase: Phase,
    /// The oldest record that is owed through this entry; `None` for what stands in the quarantine topic as it is.
    hold: Option<i64>,
    /// The oldest record that was added since the entry began to be written.
    since: Option<i64>,
    /// The write under way that is no settling.
    write: Option<u64>,
    /// The quarantine topic has a record of this document.
    mirrored: bool,
    /// The row in which it waits.
    row: Option<Place>,
}

impl Slot {
    const fn vacant(partition: i32) -> Self {
        Self {
            partition,
            entry: None,
            phase: Phase::Waiting,
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

/// The entries of the partitions that are assigned to this process.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: HashMap<i64, Slot>,
    lines: [BTreeSet<(u64, i64)>; 4],
    shares: BTreeMap<i32, Share>,
    turn: usize,
    /// Numbers of takings, writes and assignments: each is used once.
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

    /// A partition is ours now, to be read from `read` on. `quarantined` is what its quarantine holds.
    pub(super) fn assign(&mut self, partition: i32, read: i64, quarantined: Vec<Entry>) {
        let assignment = self.number();
        self.shares.insert(partition, Share::new(read, assignment));
        for entry in quarantined {
            let document_id = entry.work.document_id;
            let slot = Slot { entry: Some(entry), mirrored: true, ..Slot::vacant(partition) };
            self.slots.insert(document_id, slot);
            self.line_up(document_id);
        }
    }

    /// Nothing of these partitions is handed out any more.
    pub(super) fn hold_back(&mut self, partitions: &[i32]) {
        for partition in partitions {
            if let Some(share) = self.shares.get_mut(partition) {
                share.leaving = true;
            }
        }
        let documents: Vec<i64> = self.documents_of(partitions).collect();
        documents.into_iter().for_each(|document_id| self.line_up(document_id));
    }

    /// Lets go of partitions with everything in hand of them.
    pub(super) fn release(&mut self, partitions: &[i32]) {
        let documents: Vec<i64> = self.documents_of(partitions).collect();
        for document_id in documents {
            self.leave_line(document_id);
            self.slots.remove(&document_id);
        }
        self.shares.retain(|partition, _| !partitions.contains(partition));
    }

    fn documents_of<'a>(&'a self, partitions: &'a [i32]) -> impl Iterator<Item = i64> + 'a {
        self.slots.iter().filter(|(_, slot)| partitions.contains(&slot.partition)).map(|(document_id, _)| *document_id)
    }

    /// How many entries of these partitions are in flight or being settled.
    pub(super) fn in_flight(&self, partitions: &[i32]) -> usize {
        let slots = self.slots.values().filter(|slot| partitions.contains(&slot.partition));
        slots.filter(|slot| !matches!(slot.phase, Phase::Waiting)).count()
    }

    /// Takes in one record.
    pub(super) fn take_in(&mut self, partition: i32, offset: i64, arrival: Arrival) -> Option<Chore> {
        let share = self.shares.get_mut(&partition)?;
        share.read = share.read.max(offset + 1);
        match arrival {
            Arrival::Put(work) => self.add(partition, offset, Entry::new(work), false),
            Arrival::Carried(entry) => self.add(partition, offset, entry, true),
            Arrival::OwnCarry(number) => {
                share.carried.remove(&number);
                None
            }
            Arrival::Release(command) => {
                self.release_one(offset, command);
                None
            }
            Arrival::Discard(command) => self.discard_one(partition, offset, command),
        }
    }

    /// Whether an entry with this number was carried by us under the present assignment.
    pub(super) fn is_own_carry(&self, partition: i32, number: u64) -> bool {
        self.shares.get(&partition).is_some_and(|share| share.carried.contains(&number))
    }

    fn add(&mut self, partition: i32, offset: i64, arrived: Entry, carried: bool) -> Option<Chore> {
        let document_id = arrived.work.document_id;
        let slot = self.slots.entry(document_id).or_insert_with(|| Slot::vacant(partition));
        let was_quarantined = slot.is_quarantined();
        let before = slot.entry.as_ref().map(|entry| entry.work.clone());
        let enqueued_at_ms = arrived.work.first_enqueued_at_ms;
        let news = match &mut slot.entry {
            Some(entry) => {
                let news = entry.add(&arrived.work);
                if carried && matches!(slot.phase, Phase::Waiting) && !entry.quarantined {
                    resume(entry, &arrived);
                }
                news
            }
            vacant => {
                *vacant = Some(arrived);
                true
            }
        };
        if let Phase::Flying(taking) = &mut slot.phase
            && news
        {
            taking.added(enqueued_at_ms);
        }
        let unchanged = slot.entry.as_ref().map(|entry| &entry.work) == before.as_ref();
        if was_quarantined && slot.is_quarantined() && unchanged {
            return None;
        }
        let chore = (was_quarantined && slot.is_quarantined()).then_some(Chore::Mirror { document_id });
        self.keep_hold(document_id, offset);
        self.line_up(document_id);
        chore
    }

    /// The entry is owed a record; what is being written of it does not have it.
    fn keep_hold(&mut self, document_id: i64, offset: i64) {
        let Some(slot) = self.slots.get_mut(&document_id) else { return };
        if matches!(slot.phase, Phase::Settling(_)) || slot.write.is_some() {
            slot.since.get_or_insert(offset);
        }
        if slot.hold.is_none() {
            slot.hold = Some(offset);
            if let Some(share) = self.shares.get_mut(&slot.partition) {
                share.held.insert(offset, document_id);
            }
        }
    }

    /// The entry holds another record from now on, or none.
    fn move_hold(&mut self, document_id: i64, to: Option<i64>) {
        let Some(slot) = self.slots.get_mut(&document_id) else { return };
        let from = std::mem::replace(&mut slot.hold, to);
        let Some(share) = self.shares.get_mut(&slot.partition) else { return };
        if let Some(offset) = from {
            share.held.remove(&offset);
        }
        if let Some(offset) = to {
            share.held.insert(offset, document_id);
        }
    }

    fn release_one(&mut self, offset: i64, command: Command) {
        let Some(slot) = self.slots.get_mut(&command.document_id) else { return };
        let Some(entry) = slot.entry.as_mut().filter(|entry| is_meant(entry, command)) else { return };
        entry.release();
        self.keep_hold(command.document_id, offset);
        self.line_up(command.document_id);
    }

    fn discard_one(&mut self, partition: i32, offset: i64, command: Command) -> Option<Chore> {
        let document_id = command.document_id;
        let slot = self.slots.get(&document_id)?;
        if !slot.entry.as_ref().is_some_and(|entry| is_meant(entry, command)) {
            return None;
        }
        self.move_hold(document_id, None);
        self.leave_line(document_id);
        self.slots.remove(&document_id);
        Some(Chore::Forget { document_id, held: self.hold_alone(partition, offset)? })
    }

    /// A record that nobody can read: it holds its partition until it is kept aside.
    pub(super) fn refuse(&mut self, partition: i32, offset: i64) -> Option<Held> {
        let share = self.shares.get_mut(&partition)?;
        share.read = share.read.max(offset + 1);
        self.hold_alone(partition, offset)
    }

    /// Lets a record hold its partition by itself, until [`Window::let_go`].
    fn hold_alone(&mut self, partition: i32, offset: i64) -> Option<Held> {
        let share = self.shares.get_mut(&partition)?;
        share.alone.insert(offset);
        Some(Held { partition, offset, assignment: share.assignment })
    }

    /// What a record stood for is finished.
    pub(super) fn let_go(&mut self, held: Held) {
        if let Some(share) = self.shares.get_mut(&held.partition).filter(|share| share.assignment == held.assignment) {
            share.alone.remove(&held.offset);
        }
    }

    /// Takes entries that are ready.
    pub(super) fn take(&mut self, max: usize, now_ms: u64) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let lines = [TURNS[self.turn]].into_iter().chain(TAKEN_FROM);
            let Some(document_id) = lines.filter_map(|line| self.first(line, now_ms)).next() else { break };
            let take = self.number();
            self.turn = (self.turn + 1) % TURNS.len();
            self.leave_line(document_id);
            let Some(slot) = self.slots.get_mut(&document_id) else { break };
            slot.phase = Phase::Flying(Taking::new(take));
            let Some(entry) = &slot.entry else { break };
            taken.push(Taken { ticket: Ticket::new(document_id, take), work: entry.work.clone() });
        }
        taken
    }

    fn first(&self, line: Line, now_ms: u64) -> Option<i64> {
        let (order, document_id) = self.lines[index(line)].first()?;
        (line != Line::Delayed || *order <= now_ms).then_some(*document_id)
    }

    /// When the next entry may be taken; 0 for now.
    pub(super) fn next_ms(&self) -> Option<u64> {
        let due_ms = |line| self.lines[index(line)].first().map(|row| if line == Line::Delayed { row.0 } else { 0 });
        TAKEN_FROM.into_iter().filter_map(due_ms).min()
    }

    /// Puts an entry into the line where it belongs, if it may be taken or stands in quarantine.
    fn line_up(&mut self, document_id: i64) {
        self.leave_line(document_id);
        let Some(slot) = self.slots.get_mut(&document_id) else { return };
        let leaving = self.shares.get(&slot.partition).is_none_or(|share| share.leaving);
        let Some(entry) = &slot.entry else { return };
        if matches!(slot.phase, Phase::Waiting) && (!leaving || entry.quarantined) {
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

    /// Entries that take room: ready or in flight, and those that wait for a time.
    pub(super) fn occupied(&self) -> (usize, usize) {
        let delayed = self.lines[index(Line::Delayed)].len();
        (self.slots.len() - delayed - self.lines[index(Line::Quarantine)].len(), delayed)
    }

    /// What there is, as far as it was read.
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
            stats.in_flight += u64::from(!matches!(slot.phase, Phase::Waiting));
            stats.oldest_age_ms = stats.oldest_age_ms.max(now_ms.saturating_sub(entry.work.first_enqueued_at_ms));
        }
        stats
    }

    /// What stands in the quarantine of our partitions.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = &Entry> {
        self.slots.values().filter_map(|slot| slot.entry.as_ref()).filter(|entry| entry.quarantined)
    }
}

/// An entry that was carried goes on where it was, unless there is something newer.
fn resume(entry: &mut Entry, carried: &Entry) {
    if entry.work.version == carried.work.version {
        entry.work.attempts = entry.work.attempts.max(carried.work.attempts);
        entry.work.not_before_ms = entry.work.not_before_ms.max(carried.work.not_before_ms);
        entry.failure = carried.failure.clone().or_else(|| entry.failure.take());
    }
}

fn is_meant(entry: &Entry, command: Command) -> bool {
    let last_failed_at_ms = entry.failure.as_ref().map_or(0, |failure| failure.last_ms);
    entry.quarantined && last_failed_at_ms == command.last_failed_at_ms
}

#[cfg(test)]
mod tests;
