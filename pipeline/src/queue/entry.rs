//! The life of one entry: what adding to it and settling it change, and where it waits. Every queue moves its entries by
//! these rules; they differ in how they keep them.
//!
//! For those who write a queue. Whoever uses one has no business here.

mod bytes;

#[cfg(any(test, feature = "conformance"))]
pub use bytes::examples;

use super::{Quarantined, SettleReport, Settled, Work};

/// What is owed to a document, and how the attempts went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is owed.
    pub work: Work,
    /// How attempts failed, if one did.
    pub failure: Option<Failure>,
    /// It is not tried any more until an operator or a newer version says so.
    pub quarantined: bool,
}

/// How attempts failed since the last newer version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong last.
    pub reason: String,
    /// When the first of them failed.
    pub first_ms: u64,
    /// When the last of them failed.
    pub last_ms: u64,
}

/// Reasons are for people; what is longer than this many bytes is cut.
pub const REASON_BYTES_MAX: usize = 4_096;

/// The line in which an entry waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// Somebody edited the document.
    Direct,
    /// A cascade touched it.
    Touch,
    /// It waits for a time, whoever changed it.
    Delayed,
    /// It waits for an operator or a newer version.
    Quarantine,
}

/// Of four entries taken in a row, where each comes from if that line has one; else from the first that has.
pub const TURNS: [Line; 4] = [Line::Direct, Line::Direct, Line::Delayed, Line::Touch];

/// The lines to take from, in order of preference.
pub const TAKEN_FROM: [Line; 3] = [Line::Direct, Line::Delayed, Line::Touch];

/// A place in a line: the smaller goes first.
pub type Place = (Line, u64);

/// What settling did to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueOutcome {
    /// Nothing is owed any more.
    Removed,
    /// It waits again.
    Kept,
    /// It is in quarantine now.
    Quarantined,
}

/// A taking of an entry that was not settled yet.
#[derive(Debug, Clone, Copy)]
pub struct Taking {
    /// Tells it from other takings of the same document.
    pub take: u64,
    /// Something was added since: when the oldest of it was put.
    pub added_at_ms: Option<u64>,
}

impl Taking {
    /// A taking to which nothing was added yet.
    #[must_use]
    pub const fn new(take: u64) -> Self {
        Self { take, added_at_ms: None }
    }

    /// Something that the taker may have missed was put at `put_at_ms`.
    pub fn added(&mut self, put_at_ms: u64) {
        self.added_at_ms = Some(self.added_at_ms.map_or(put_at_ms, |oldest_ms| oldest_ms.min(put_at_ms)));
    }
}

/// What settling did to an entry, and what every lane gets for it.
#[derive(Debug)]
pub struct Outcome {
    /// What became of it.
    pub fate: QueueOutcome,
    /// What every lane gets.
    pub delivery: Option<Work>,
}

impl SettleReport {
    /// Counts one entry that was settled.
    pub const fn count(&mut self, fate: QueueOutcome) {
        match fate {
            QueueOutcome::Removed => self.removed += 1,
            QueueOutcome::Kept => self.kept += 1,
            QueueOutcome::Quarantined => self.quarantined += 1,
        }
    }
}

impl From<Entry> for Quarantined {
    fn from(entry: Entry) -> Self {
        let failure = entry.failure.unwrap_or(Failure { reason: String::new(), first_ms: 0, last_ms: 0 });
        Self {
            work: entry.work,
            reason: failure.reason,
            first_failed_at_ms: failure.first_ms,
            last_failed_at_ms: failure.last_ms,
        }
    }
}

impl Entry {
    /// An entry that was never tried.
    #[must_use]
    pub const fn new(work: Work) -> Self {
        Self { work, failure: None, quarantined: false }
    }

    /// Where the entry waits, if it is not in flight. Ties are broken by the document id.
    #[must_use]
    pub const fn place(&self) -> Place {
        if self.quarantined {
            (Line::Quarantine, 0)
        } else if self.work.not_before_ms > 0 {
            (Line::Delayed, self.work.not_before_ms)
        } else if self.work.low_priority {
            (Line::Touch, self.work.first_enqueued_at_ms)
        } else {
            (Line::Direct, self.work.first_enqueued_at_ms)
        }
    }

    /// Adds work that was put for the same document. Answers whether somebody who took the entry before may have missed
    /// something: not for an older version that asks for nothing new, which is what a redelivery looks like.
    pub fn add(&mut self, work: &Work) -> bool {
        let before = (self.work.version, self.work.deleted, self.work.rebuild, self.work.cascade);
        self.work.absorb(work);
        let after = (self.work.version, self.work.deleted, self.work.rebuild, self.work.cascade);
        if after.0 > before.0 {
            (self.quarantined, self.failure) = (false, None);
        }
        work.version >= before.0 || after != before
    }

    /// What the taker reports. If something was added meanwhile, what was done may not have been enough; it was
    /// delivered all the same, or a document that is edited all the time would reach no sink.
    pub fn settle(&mut self, taking: Taking, settled: Settled, now_ms: u64, attempts_max: u32) -> Outcome {
        let delivery = match settled {
            Settled::Deliver { version, deleted, repair } => Some(self.work.delivery(version, deleted, repair)),
            _ => None,
        };
        let fate = match taking.added_at_ms {
            Some(added_at_ms) => self.keep(&settled, added_at_ms),
            None => self.end(settled, now_ms, attempts_max),
        };
        Outcome { fate, delivery }
    }

    /// The entry was added to before it was settled, and stays. What was owed before may be done, and then the entry is
    /// only as old as what was added.
    fn keep(&mut self, settled: &Settled, added_at_ms: u64) -> QueueOutcome {
        self.work.not_before_ms = 0;
        if matches!(settled, Settled::Done | Settled::Deliver { .. }) {
            self.work.first_enqueued_at_ms = added_at_ms;
        }
        QueueOutcome::Kept
    }

    /// Nothing was added meanwhile.
    fn end(&mut self, settled: Settled, now_ms: u64, attempts_max: u32) -> QueueOutcome {
        match settled {
            Settled::Done | Settled::Deliver { .. } => return QueueOutcome::Removed,
            Settled::Remaining { rebuild, cascade, not_before_ms } => {
                self.work.rebuild &= rebuild;
                self.work.cascade &= cascade;
                self.work.not_before_ms = not_before_ms;
            }
            Settled::RetryAt { not_before_ms } => self.work.not_before_ms = not_before_ms,
            Settled::Failed { not_before_ms, reason } => {
                self.fail(reason, now_ms);
                self.work.not_before_ms = not_before_ms;
                self.quarantined = self.work.attempts >= attempts_max;
            }
            Settled::Quarantine { reason } => {
                self.fail(reason, now_ms);
                self.quarantined = true;
            }
        }
        match (self.quarantined, self.work.owes()) {
            (_, false) => QueueOutcome::Removed,
            (true, true) => QueueOutcome::Quarantined,
            (false, true) => QueueOutcome::Kept,
        }
    }

    /// An operator wants it tried again.
    pub fn release(&mut self) {
        (self.quarantined, self.failure) = (false, None);
        (self.work.attempts, self.work.not_before_ms) = (0, 0);
    }

    fn fail(&mut self, mut reason: String, now_ms: u64) {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        let first_ms = self.failure.as_ref().map_or(now_ms, |failure| failure.first_ms);
        self.failure = Some(Failure { reason, first_ms, last_ms: now_ms });
        self.work.attempts = self.work.attempts.saturating_add(1);
    }
}
