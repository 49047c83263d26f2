//! The entries on disk and what goes with them in memory. Changes are staged and then committed together.

mod standing;

use std::collections::HashMap;
use std::path::Path;

use fjall::{Database, Iter, Keyspace, KeyspaceCreateOptions, PersistMode};
use uuid::Uuid;

use super::codec::{self, Book, LANE, Row};
use super::line::Walk;
use crate::Position;
use crate::queue::entry::{Entry, Fate, Line, Place, TAKEN_FROM, TURNS};
use crate::queue::{QueueError, SettleReport, Settled, Taken, Ticket, Work};

/// When there will be something to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) now: bool,
    pub(super) due_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Taking {
    take: u64,
    added_to: bool,
}

/// What the next commit will write. A key appears once: two changes of one key in a batch have no order.
#[derive(Debug, Default)]
struct Staged {
    entries: HashMap<i64, Option<Entry>>,
    rows: HashMap<(Line, Row), bool>,
    position: Option<Position>,
    durable: bool,
}

/// The store of a [`super::LocalQueue`], for its owner thread alone.
pub(super) struct Store {
    db: Database,
    work: Keyspace,
    order: Keyspace,
    meta: Keyspace,
    epoch: Uuid,
    position: Option<Position>,
    book: Book,
    walks: [Walk; 4],
    in_flight: HashMap<i64, Taking>,
    takes: u64,
    turn: usize,
    attempts_max: u32,
    staged: Staged,
}

/// For `map_err`: the store failed while doing `action`.
fn storage(action: &'static str) -> impl FnOnce(fjall::Error) -> QueueError {
    move |error| QueueError::Storage { action, detail: format!("{error:?}") }
}

/// What of the store's size can be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) cache_bytes: u64,
    pub(super) journal_bytes: u64,
    pub(super) memtable_bytes: u64,
}

impl Store {
    /// Opens or makes the store in `path`, whose format has been checked.
    pub(super) fn open(path: &Path, size: Size, attempts_max: u32) -> Result<Self, QueueError> {
        let db = Database::builder(path)
            .cache_size(size.cache_bytes)
            .max_journaling_size(size.journal_bytes)
            .worker_threads(1)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => QueueError::InUse { path: path.to_owned() },
                fjall::Error::InvalidVersion(found) => {
                    let detail = format!("it was written by another version of its store ({found:?})");
                    QueueError::Format { path: path.to_owned(), detail }
                }
                error => storage("opening")(error),
            })?;
        let keyspace = |name| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(size.memtable_bytes);
            db.keyspace(name, options).map_err(storage("opening"))
        };
        let (work, order, meta) = (keyspace("work")?, keyspace("order")?, keyspace("meta")?);
        let read = |key: &str| meta.get(key).map_err(storage("opening"));
        let epoch = read("epoch")?.map(|bytes| codec::sixteen(&bytes)).transpose()?.map(Uuid::from_bytes);
        let position = read("position")?.map(|bytes| codec::sixteen(&bytes)).transpose()?.map(Position::from_bytes);
        let book = read("book")?.map(|bytes| Book::decode(&bytes)).transpose()?.unwrap_or_default();
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => Self::make_epoch(&db, &meta)?,
        };
        Ok(Self {
            walks: book.heads.map(Walk::from),
            db,
            work,
            order,
            meta,
            epoch,
            position,
            book,
            in_flight: HashMap::new(),
            staged: Staged::default(),
            takes: 0,
            turn: 0,
            attempts_max,
        })
    }

    fn make_epoch(db: &Database, meta: &Keyspace) -> Result<Uuid, QueueError> {
        let epoch = Uuid::new_v4();
        let mut batch = db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(meta, "epoch", epoch.into_bytes());
        batch.commit().map_err(storage("making the queue"))?;
        Ok(epoch)
    }

    pub(super) const fn epoch(&self) -> Uuid {
        self.epoch
    }

    pub(super) const fn position(&self) -> Option<Position> {
        self.position
    }

    /// Stages work and a position for a commit that is durable.
    pub(super) fn put(&mut self, work: Vec<Work>, position: Option<Position>) -> Result<(), QueueError> {
        self.staged.durable = true;
        for work in work {
            let document_id = work.document_id;
            let old = self.load(document_id)?;
            let old_place = old.as_ref().map(Entry::place);
            let entry = match old {
                None => Entry::new(work),
                Some(mut entry) => {
                    let added_to = entry.add(&work);
                    if let Some(taking) = self.in_flight.get_mut(&document_id) {
                        taking.added_to |= added_to;
                    }
                    entry
                }
            };
            self.replace(document_id, old_place, Some(entry));
        }
        if let Some(position) = position.filter(|position| self.position.is_none_or(|stored| stored < *position)) {
            self.set_position(position);
        }
        Ok(())
    }

    /// Stages a position that may lie before the stored one.
    pub(super) fn set_position(&mut self, position: Position) {
        self.staged.durable = true;
        self.staged.position = Some(position);
        self.position = Some(position);
    }

    /// Stages what became of entries.
    pub(super) fn settle(&mut self, settled: Vec<(Ticket, Settled)>, now_ms: u64) -> Result<SettleReport, QueueError> {
        let mut report = SettleReport::default();
        for (ticket, settled) in settled {
            let document_id = ticket.document_id;
            let Some(taking) = self.in_flight.get(&document_id).copied().filter(|taking| taking.take == ticket.take)
            else {
                report.unknown += 1;
                continue;
            };
            let mut entry = self.load(document_id)?.ok_or_else(|| missing(document_id))?;
            let old_place = entry.place();
            let fate = if taking.added_to {
                entry.keep();
                Fate::Kept
            } else {
                entry.settle(settled, now_ms, self.attempts_max)
            };
            self.in_flight.remove(&document_id);
            self.replace(document_id, Some(old_place), (fate != Fate::Removed).then_some(entry));
            report.count(fate);
        }
        Ok(report)
    }

    /// Stages the return of entries from quarantine, or their end.
    pub(super) fn leave_quarantine(&mut self, document_ids: Vec<i64>, again: bool) -> Result<u64, QueueError> {
        let mut left = 0;
        self.staged.durable = true;
        for document_id in document_ids {
            let Some(mut entry) = self.load(document_id)?.filter(|entry| entry.quarantined) else { continue };
            let old_place = entry.place();
            entry.release();
            self.replace(document_id, Some(old_place), again.then_some(entry));
            left += 1;
        }
        Ok(left)
    }

    /// Writes all that is staged in one atomic batch. After an error memory and disk may differ: the store is to be
    /// dropped.
    pub(super) fn commit(&mut self) -> Result<(), QueueError> {
        let staged = std::mem::take(&mut self.staged);
        if staged.entries.is_empty() && staged.position.is_none() {
            return Ok(());
        }
        let mode = if staged.durable { PersistMode::SyncAll } else { PersistMode::Buffer };
        let mut batch = self.db.batch().durability(Some(mode));
        for (document_id, entry) in staged.entries {
            match entry {
                Some(entry) => batch.insert(&self.work, codec::work_key(document_id), codec::encode_entry(&entry)),
                None => batch.remove(&self.work, codec::work_key(document_id)),
            }
        }
        for ((line, row), present) in staged.rows {
            match present {
                true => batch.insert(&self.order, codec::order_key(line, row), []),
                false => batch.remove(&self.order, codec::order_key(line, row)),
            }
        }
        if let Some(position) = staged.position {
            batch.insert(&self.meta, "position", position.to_bytes());
        }
        for (head, walk) in self.book.heads.iter_mut().zip(&self.walks) {
            *head = walk.head();
        }
        batch.insert(&self.meta, "book", self.book.encode());
        batch.commit().map_err(storage("writing"))
    }

    /// Flushes everything to disk before the store is dropped.
    pub(super) fn persist(&self) -> Result<(), QueueError> {
        self.db.persist(PersistMode::SyncAll).map_err(storage("closing"))
    }

    /// Takes entries; everything has to be committed.
    pub(super) fn take(&mut self, max: usize, now_ms: u64) -> Result<Vec<Taken>, QueueError> {
        let mut scans: [Option<Scan>; 4] = [None, None, None, None];
        let mut taken = Vec::new();
        'taking: while taken.len() < max {
            for line in [TURNS[self.turn]].into_iter().chain(TAKEN_FROM) {
                let scan = match &mut scans[line.number()] {
                    Some(scan) => scan,
                    vacant => vacant.insert(self.scan(line, max)),
                };
                let Some(row) = scan.next(&mut self.walks[line.number()], line, now_ms)? else { continue };
                taken.push(self.fly(line, row)?);
                self.turn = (self.turn + 1) % TURNS.len();
                continue 'taking;
            }
            break;
        }
        Ok(taken)
    }

    fn fly(&mut self, line: Line, row: Row) -> Result<Taken, QueueError> {
        let document_id = row.1;
        let entry = self.load(document_id)?.ok_or_else(|| missing(document_id))?;
        self.takes += 1;
        self.walks[line.number()].fly(row);
        self.in_flight.insert(document_id, Taking { take: self.takes, added_to: false });
        Ok(Taken { ticket: Ticket { document_id, take: self.takes }, work: entry.work })
    }

    fn scan(&self, line: Line, max: usize) -> Scan {
        let walk = &self.walks[line.number()];
        let returned: Vec<Row> = walk.returned().take(max).collect();
        Scan { returned: returned.into_iter(), rows: self.rows(line, walk.cursor()) }
    }

    /// The rows of a line on disk, from `from` on.
    fn rows(&self, line: Line, from: Row) -> Iter {
        self.order.range(codec::order_key(line, from)..=codec::order_key(line, (u64::MAX, i64::MAX)))
    }

    fn load(&self, document_id: i64) -> Result<Option<Entry>, QueueError> {
        if let Some(staged) = self.staged.entries.get(&document_id) {
            return Ok(staged.clone());
        }
        let bytes = self.work.get(codec::work_key(document_id)).map_err(storage("reading"))?;
        bytes.map(|bytes| codec::decode_entry(document_id, &bytes)).transpose()
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
            self.book.counts[line.number()] = self.book.counts[line.number()].saturating_sub(1);
            self.walks[line.number()].remove(row);
        }
        if let Some((line, order)) = new {
            let row = (order, document_id);
            if old != new {
                self.staged.rows.insert((line, row), true);
                self.book.counts[line.number()] += 1;
            }
            match flying {
                true => self.walks[line.number()].fly(row),
                false => self.walks[line.number()].add(row),
            }
        }
        self.staged.entries.insert(document_id, entry);
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

fn missing(document_id: i64) -> QueueError {
    QueueError::Corrupt(format!("lane {LANE} has document {document_id} in a line but not its entry"))
}
