//! The cache queue or one lane: its entries on disk, and their state in memory. Changes are staged until the store commits
//! them.

mod status;

use std::collections::HashMap;

use fjall::{Iter, OwnedWriteBatch};
use millstream_pipeline::Position;
use millstream_pipeline::queue::entry::{Entry, Line, PREFERRED_LINES, Place, QueueOutcome, TAKE_ORDER, Taking};
use millstream_pipeline::queue::{QueueError, SettleReport, Settled, Taken, Ticket, Work};

use super::codec::{self, LineRow, LineSummary};
use super::disk::{Disk, StoreResultExt};
use super::line::LineWalk;

/// Whether a lane has something to take now, or when it will have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) now: bool,
    pub(super) due_ms: Option<u64>,
}

/// Changes that the next commit writes. A key appears once: two changes of one key in a batch have no order.
#[derive(Debug, Default)]
struct StagedChanges {
    entries: HashMap<i64, Option<Entry>>,
    rows: HashMap<(Line, LineRow), bool>,
    position: Option<Position>,
    /// The commit has to be on disk when it returns.
    is_durable: bool,
}

/// A lane of the store, or the cache queue, whose number is [`codec::CACHE_QUEUE`].
pub(super) struct Lane {
    number: u16,
    paused: bool,
    position: Option<Position>,
    summary: LineSummary,
    walks: [LineWalk; 4],
    in_flight: HashMap<i64, Taking>,
    turn: usize,
    staged: StagedChanges,
    /// The readiness may have changed since it was published.
    touched: bool,
}

impl Lane {
    /// Opens a lane that is on disk.
    pub(super) fn open(disk: &Disk, number: u16, paused: bool) -> Result<Self, QueueError> {
        let position = disk.meta(number, "position", codec::sixteen)?.map(Position::from_bytes);
        let summary = disk.meta(number, "book", LineSummary::decode)?.unwrap_or_default();
        Ok(Self { position, walks: summary.heads.map(LineWalk::from), summary, ..Self::empty(number, paused) })
    }

    /// Returns a new lane.
    pub(super) fn empty(number: u16, paused: bool) -> Self {
        let summary = LineSummary::default();
        Self {
            number,
            paused,
            position: None,
            walks: summary.heads.map(LineWalk::from),
            summary,
            in_flight: HashMap::new(),
            turn: 0,
            staged: StagedChanges::default(),
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

    /// Returns whether the lane was changed since the last call.
    pub(super) const fn was_touched(&mut self) -> bool {
        std::mem::replace(&mut self.touched, false)
    }

    /// Stages work and a position, for a commit that is durable.
    pub(super) fn put(&mut self, disk: &Disk, work: Vec<Work>, position: Option<Position>) -> Result<(), QueueError> {
        for work in work {
            self.add(disk, work)?;
        }
        if let Some(position) = position.filter(|position| self.position.is_none_or(|stored| stored < *position)) {
            self.set_position(position);
        }
        self.staged.is_durable |= self.is_staged();
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
    pub(super) const fn reset_position(&mut self, position: Position) {
        self.set_position(position);
        self.staged.is_durable = true;
    }

    const fn set_position(&mut self, position: Position) {
        self.staged.position = Some(position);
        self.position = Some(position);
    }

    /// Stages settlements, and adds the work that they deliver to `deliveries`.
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

    /// Stages the release of entries from quarantine, or their removal.
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
        self.staged.is_durable |= self.is_staged();
        Ok(left)
    }

    /// Returns whether there is something to commit.
    pub(super) fn is_staged(&self) -> bool {
        !self.staged.entries.is_empty() || self.staged.position.is_some()
    }

    /// Returns whether the commit has to be on disk when it returns.
    pub(super) const fn is_durable(&self) -> bool {
        self.staged.is_durable
    }

    /// Moves all staged changes into a batch.
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
        for (head, walk) in self.summary.heads.iter_mut().zip(&self.walks) {
            *head = walk.head();
        }
        batch.insert(&disk.meta, codec::meta_key(self.number, "book"), self.summary.encode());
        self.touched = true;
    }

    /// Takes entries, and counts them in `takes`. Nothing may be staged.
    pub(super) fn take(
        &mut self,
        disk: &Disk,
        takes: &mut u64,
        max: usize,
        now_ms: u64,
    ) -> Result<Vec<Taken>, QueueError> {
        let mut scans: [Option<LineScan>; 4] = [None, None, None, None];
        let mut taken = Vec::new();
        let max = if self.paused { 0 } else { max };
        self.touched = true;
        'taking: while taken.len() < max {
            for line in [PREFERRED_LINES[self.turn]].into_iter().chain(TAKE_ORDER) {
                let scan = match &mut scans[codec::number(line)] {
                    Some(scan) => scan,
                    vacant => vacant.insert(self.scan(disk, line, max)),
                };
                let Some(row) = scan.next(&mut self.walks[codec::number(line)], line, now_ms)? else { continue };
                *takes += 1;
                taken.push(self.take_row(disk, *takes, line, row)?);
                self.turn = (self.turn + 1) % PREFERRED_LINES.len();
                continue 'taking;
            }
            break;
        }
        Ok(taken)
    }

    fn take_row(&mut self, disk: &Disk, take: u64, line: Line, row: LineRow) -> Result<Taken, QueueError> {
        let document_id = row.1;
        let entry = self.load(disk, document_id)?.ok_or_else(|| self.missing(document_id))?;
        self.walks[codec::number(line)].fly(row);
        self.in_flight.insert(document_id, Taking::new(take));
        Ok(Taken { ticket: Ticket::new(document_id, take), work: entry.work })
    }

    fn scan(&self, disk: &Disk, line: Line, max: usize) -> LineScan {
        let walk = &self.walks[codec::number(line)];
        let returned: Vec<LineRow> = walk.returned().take(max).collect();
        LineScan { returned: returned.into_iter(), rows: disk.rows(self.number, line, walk.cursor()) }
    }

    fn load(&self, disk: &Disk, document_id: i64) -> Result<Option<Entry>, QueueError> {
        match self.staged.entries.get(&document_id) {
            Some(staged) => Ok(staged.clone()),
            None => disk.entry(self.number, document_id),
        }
    }

    /// Stages an entry's new value, and moves its row from the old place to the new one.
    fn replace(&mut self, document_id: i64, old: Option<Place>, entry: Option<Entry>) {
        let new = entry.as_ref().map(Entry::place);
        let is_in_flight = self.in_flight.contains_key(&document_id);
        if old != new
            && let Some((line, order)) = old
        {
            let row = (order, document_id);
            self.staged.rows.insert((line, row), false);
            self.summary.counts[codec::number(line)] = self.summary.counts[codec::number(line)].saturating_sub(1);
            self.walks[codec::number(line)].remove(row);
        }
        if let Some((line, order)) = new {
            let row = (order, document_id);
            if old != new {
                self.staged.rows.insert((line, row), true);
                self.summary.counts[codec::number(line)] += 1;
            }
            match is_in_flight {
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

/// The rows of a line that can still be taken, during one take.
struct LineScan {
    returned: std::vec::IntoIter<LineRow>,
    rows: Iter,
}

impl LineScan {
    /// Returns the next row that may be taken.
    fn next(&mut self, walk: &mut LineWalk, line: Line, now_ms: u64) -> Result<Option<LineRow>, QueueError> {
        let early = |row: LineRow| line == Line::Delayed && row.0 > now_ms;
        if let Some(row) = self.returned.next() {
            if early(row) {
                self.returned = Vec::new().into_iter();
                return Ok(None);
            }
            return Ok(Some(row));
        }
        for guard in self.rows.by_ref() {
            let row = codec::order_row(&guard.key().during("reading")?)?;
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

/// Returns the smallest row after this one.
const fn next((order, document_id): LineRow) -> LineRow {
    match document_id.checked_add(1) {
        Some(document_id) => (order, document_id),
        None => (order.saturating_add(1), i64::MIN),
    }
}
