//! One lane, or the stage: its entries on disk and what goes with them in memory. Changes are staged until the store
//! commits them.

mod standing;

use std::collections::HashMap;

use fjall::{Iter, OwnedWriteBatch};

use super::codec::{self, Book, Row};
use super::disk::{Disk, storage};
use super::line::Walk;
use millstream_pipeline::Position;
use millstream_pipeline::queue::entry::{Entry, Line, Place, QueueOutcome, TAKEN_FROM, TURNS, Taking};
use millstream_pipeline::queue::{QueueError, SettleReport, Settled, Taken, Ticket, Work};

/// When there will be something to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) now: bool,
    pub(super) due_ms: Option<u64>,
}

/// What the next commit will write. A key appears once: two changes of one key in a batch have no order.
#[derive(Debug, Default)]
struct Staged {
    entries: HashMap<i64, Option<Entry>>,
    rows: HashMap<(Line, Row), bool>,
    position: Option<Position>,
}

/// A lane of the store, or the stage, whose number is [`codec::STAGE`].
pub(super) struct Lane {
    number: u16,
    paused: bool,
    position: Option<Position>,
    book: Book,
    walks: [Walk; 4],
    in_flight: HashMap<i64, Taking>,
    turn: usize,
    staged: Staged,
    /// There may be something to take that was not there when it was last looked.
    touched: bool,
}

impl Lane {
    /// The lane as it is on disk.
    pub(super) fn open(disk: &Disk, number: u16, paused: bool) -> Result<Self, QueueError> {
        let position = disk.meta(number, "position", codec::sixteen)?.map(Position::from_bytes);
        let book = disk.meta(number, "book", Book::decode)?.unwrap_or_default();
        Ok(Self { position, walks: book.heads.map(Walk::from), book, ..Self::empty(number, paused) })
    }

    /// A lane that was never there before.
    pub(super) fn empty(number: u16, paused: bool) -> Self {
        let book = Book::default();
        Self {
            number,
            paused,
            position: None,
            walks: book.heads.map(Walk::from),
            book,
            in_flight: HashMap::new(),
            turn: 0,
            staged: Staged::default(),
            touched: true,
        }
    }

    pub(super) const fn position(&self) -> Option<Position> {
        self.position
    }

    pub(super) const fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.touched = true;
    }

    /// Whether the lane was changed since this was asked last.
    pub(super) const fn was_touched(&mut self) -> bool {
        std::mem::replace(&mut self.touched, false)
    }

    /// Stages work and a position.
    pub(super) fn put(&mut self, disk: &Disk, work: Vec<Work>, position: Option<Position>) -> Result<(), QueueError> {
        for work in work {
            self.add(disk, work)?;
        }
        if let Some(position) = position.filter(|position| self.position.is_none_or(|stored| stored < *position)) {
            self.set_position(position);
        }
        Ok(())
    }

    /// Stages the addition of work to its document's entry.
    pub(super) fn add(&mut self, disk: &Disk, work: Work) -> Result<(), QueueError> {
        let document_id = work.document_id;
        let old = self.load(disk, document_id)?;
        let old_place = old.as_ref().map(Entry::place);
        let entry = match old {
            None => Entry::new(work),
            Some(mut entry) => {
                if entry.add(&work)
                    && let Some(taking) = self.in_flight.get_mut(&document_id)
                {
                    taking.added(work.first_enqueued_at_ms);
                }
                entry
            }
        };
        self.replace(document_id, old_place, Some(entry));
        Ok(())
    }

    /// Stages a position that may lie before the stored one.
    pub(super) const fn set_position(&mut self, position: Position) {
        self.staged.position = Some(position);
        self.position = Some(position);
    }

    /// Stages what became of entries. What is to be delivered is added to `deliveries`.
    pub(super) fn settle(
        &mut self,
        disk: &Disk,
        settled: Vec<(Ticket, Settled)>,
        (now_ms, attempts_max): (u64, u32),
        deliveries: &mut Vec<Work>,
    ) -> Result<SettleReport, QueueError> {
        let mut report = SettleReport::default();
        for (ticket, settled) in settled {
            let document_id = ticket.document_id();
            let Some(taking) = self.in_flight.get(&document_id).copied().filter(|taking| taking.take == ticket.take())
            else {
                report.unknown += 1;
                continue;
            };
            let mut entry = self.load(disk, document_id)?.ok_or_else(|| self.missing(document_id))?;
            let old_place = entry.place();
            let settlement = entry.settle(taking, settled, now_ms, attempts_max);
            self.in_flight.remove(&document_id);
            self.replace(document_id, Some(old_place), (settlement.outcome != QueueOutcome::Removed).then_some(entry));
            report.count(settlement.outcome);
            deliveries.extend(settlement.delivery);
        }
        Ok(report)
    }

    /// Stages the return of entries from quarantine, or their end.
    pub(super) fn leave_quarantine(
        &mut self,
        disk: &Disk,
        document_ids: Vec<i64>,
        again: bool,
    ) -> Result<u64, QueueError> {
        let mut left = 0;
        for document_id in document_ids {
            let Some(mut entry) = self.load(disk, document_id)?.filter(|entry| entry.quarantined) else { continue };
            let old_place = entry.place();
            entry.release();
            self.replace(document_id, Some(old_place), again.then_some(entry));
            left += 1;
        }
        Ok(left)
    }

    /// Whether there is something to commit.
    pub(super) fn is_staged(&self) -> bool {
        !self.staged.entries.is_empty() || self.staged.position.is_some()
    }

    /// Moves all that is staged into a batch.
    pub(super) fn write(&mut self, disk: &Disk, batch: &mut OwnedWriteBatch) {
        let staged = std::mem::take(&mut self.staged);
        for (document_id, entry) in staged.entries {
            let key = codec::work_key(self.number, document_id);
            match entry {
                Some(entry) => batch.insert(&disk.work, key, entry.to_bytes()),
                None => batch.remove(&disk.work, key),
            }
        }
        for ((line, row), present) in staged.rows {
            let key = codec::order_key(self.number, line, row);
            match present {
                true => batch.insert(&disk.order, key, []),
                false => batch.remove(&disk.order, key),
            }
        }
        if let Some(position) = staged.position {
            batch.insert(&disk.meta, codec::meta_key(self.number, "position"), position.to_bytes());
        }
        for (head, walk) in self.book.heads.iter_mut().zip(&self.walks) {
            *head = walk.head();
        }
        batch.insert(&disk.meta, codec::meta_key(self.number, "book"), self.book.encode());
        self.touched = true;
    }

    /// Takes entries, counting `takes` on; everything has to be committed.
    pub(super) fn take(
        &mut self,
        disk: &Disk,
        takes: &mut u64,
        max: usize,
        now_ms: u64,
    ) -> Result<Vec<Taken>, QueueError> {
        let mut scans: [Option<Scan>; 4] = [None, None, None, None];
        let mut taken = Vec::new();
        let max = if self.paused { 0 } else { max };
        self.touched = true;
        'taking: while taken.len() < max {
            for line in [TURNS[self.turn]].into_iter().chain(TAKEN_FROM) {
                let scan = match &mut scans[codec::number(line)] {
                    Some(scan) => scan,
                    vacant => vacant.insert(self.scan(disk, line, max)),
                };
                let Some(row) = scan.next(&mut self.walks[codec::number(line)], line, now_ms)? else { continue };
                *takes += 1;
                taken.push(self.fly(disk, *takes, line, row)?);
                self.turn = (self.turn + 1) % TURNS.len();
                continue 'taking;
            }
            break;
        }
        Ok(taken)
    }

    fn fly(&mut self, disk: &Disk, take: u64, line: Line, row: Row) -> Result<Taken, QueueError> {
        let document_id = row.1;
        let entry = self.load(disk, document_id)?.ok_or_else(|| self.missing(document_id))?;
        self.walks[codec::number(line)].fly(row);
        self.in_flight.insert(document_id, Taking::new(take));
        Ok(Taken { ticket: Ticket::new(document_id, take), work: entry.work })
    }

    fn scan(&self, disk: &Disk, line: Line, max: usize) -> Scan {
        let walk = &self.walks[codec::number(line)];
        let returned: Vec<Row> = walk.returned().take(max).collect();
        Scan { returned: returned.into_iter(), rows: disk.rows(self.number, line, walk.cursor()) }
    }

    fn load(&self, disk: &Disk, document_id: i64) -> Result<Option<Entry>, QueueError> {
        match self.staged.entries.get(&document_id) {
            Some(staged) => Ok(staged.clone()),
            None => disk.entry(self.number, document_id),
        }
    }

    /// Stages an entry's new value, and moves it from the place that followed from its old one.
    fn replace(&mut self, document_id: i64, old: Option<Place>, entry: Option<Entry>) {
        let new = entry.as_ref().map(Entry::place);
        let flying = self.in_flight.contains_key(&document_id);
        if old != new
            && let Some((line, order)) = old
        {
            let row = (order, document_id);
            self.staged.rows.insert((line, row), false);
            self.book.counts[codec::number(line)] = self.book.counts[codec::number(line)].saturating_sub(1);
            self.walks[codec::number(line)].remove(row);
        }
        if let Some((line, order)) = new {
            let row = (order, document_id);
            if old != new {
                self.staged.rows.insert((line, row), true);
                self.book.counts[codec::number(line)] += 1;
            }
            match flying {
                true => self.walks[codec::number(line)].fly(row),
                false => self.walks[codec::number(line)].add(row),
            }
        }
        self.staged.entries.insert(document_id, entry);
    }

    fn missing(&self, document_id: i64) -> QueueError {
        QueueError::Corrupt(format!("lane {} has document {document_id} in a line but not its entry", self.number))
    }
}

/// What a line still has, while entries are taken from it.
struct Scan {
    returned: std::vec::IntoIter<Row>,
    rows: Iter,
}

impl Scan {
    /// The next row that may be taken.
    fn next(&mut self, walk: &mut Walk, line: Line, now_ms: u64) -> Result<Option<Row>, QueueError> {
        let early = |row: Row| line == Line::Delayed && row.0 > now_ms;
        if let Some(row) = self.returned.next() {
            if early(row) {
                self.returned = Vec::new().into_iter();
                return Ok(None);
            }
            return Ok(Some(row));
        }
        for guard in self.rows.by_ref() {
            let row = codec::order_row(&guard.key().map_err(storage("reading"))?)?;
            if early(row) {
                return Ok(None);
            }
            walk.advance(next(row));
            if !walk.is_in_flight(row) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

/// The row after this one.
const fn next((order, document_id): Row) -> Row {
    match document_id.checked_add(1) {
        Some(document_id) => (order, document_id),
        None => (order.saturating_add(1), i64::MIN),
    }
}
