//! The life cycle of one entry: merging, settling, and the line in which it waits. Every queue implementation moves its
//! entries by these rules; they differ in storage only. For authors of queues, not for their users.

use super::settle::{SettleReport, Settled};
use super::stats::Quarantined;
use super::work::Work;

/// A document's pending work with its failed attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The pending work.
    pub work: Work,
    /// The failed attempts, if any.
    pub failure: Option<Failure>,
    /// The entry is not tried again until an operator or a newer version releases it.
    pub quarantined: bool,
}

/// The failed attempts since the last newer version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The last failure.
    pub reason: String,
    /// Time of the first failure.
    pub first_ms: u64,
    /// Time of the last failure.
    pub last_ms: u64,
}

/// Maximum length of a stored reason; longer ones are truncated.
pub const REASON_BYTES_MAX: usize = 4_096;

/// The class in which an entry waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// A client edited the document.
    Direct,
    /// A cascade touched it.
    Touch,
    /// It waits for a time, whatever changed it.
    Delayed,
    /// It waits for an operator or a newer version.
    Quarantine,
}

/// The line that each of four consecutive takings prefers. If that line is empty, [`TAKE_ORDER`] decides.
pub const PREFERRED_LINES: [Line; 4] = [Line::Direct, Line::Direct, Line::Delayed, Line::Touch];

/// The lines that entries are taken from, in order of preference.
pub const TAKE_ORDER: [Line; 3] = [Line::Direct, Line::Delayed, Line::Touch];

/// A position in the order of taking: the smaller goes first.
pub type Place = (Line, u64);

/// The outcome of settling an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueOutcome {
    /// Nothing is pending any more.
    Removed,
    /// The entry waits again.
    Kept,
    /// The entry is in quarantine.
    Quarantined,
}

/// A taking that is not settled yet.
#[derive(Debug, Clone, Copy)]
pub struct Taking {
    /// Tells this taking from others of the same document.
    pub take: u64,
    /// When the oldest work that was added since the taking was put.
    pub added_at_ms: Option<u64>,
}

impl Taking {
    /// Returns a taking without added work.
    #[must_use]
    pub const fn new(take: u64) -> Self {
        Self { take, added_at_ms: None }
    }

    /// Records that work which the taker may have missed was put at `put_at_ms`.
    pub fn added(&mut self, put_at_ms: u64) {
        self.added_at_ms = Some(self.added_at_ms.map_or(put_at_ms, |oldest_ms| oldest_ms.min(put_at_ms)));
    }
}

/// A settled entry's outcome and the work that it adds to every lane.
#[derive(Debug)]
pub struct Settlement {
    /// The outcome.
    pub outcome: QueueOutcome,
    /// The work for every lane.
    pub delivery: Option<Work>,
}

impl SettleReport {
    /// Counts one settled entry.
    pub const fn count(&mut self, outcome: QueueOutcome) {
        match outcome {
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
    /// Returns an entry that was never tried.
    #[must_use]
    pub const fn new(work: Work) -> Self {
        Self { work, failure: None, quarantined: false }
    }

    /// Returns the entry's position in the order of taking while it is not in flight. The document id breaks ties.
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

    /// Merges work that was put for the same document. Returns whether a taker of the entry may have missed something.
    /// A redelivery, an older version that adds nothing, is not missed.
    pub fn add(&mut self, work: &Work) -> bool {
        let state = |work: &Work| (work.progress(), work.document_uuid, work.deleted, work.rebuild, work.cascade);
        let before = state(&self.work);
        self.work.absorb(work);
        let after = state(&self.work);
        if after.0 > before.0 || after.1 != before.1 {
            (self.quarantined, self.failure) = (false, None);
        }
        work.progress() >= before.0 || after != before
    }

    /// Applies the taker's report. If work was added meanwhile, the entry stays, but its delivery goes to the lanes all
    /// the same: otherwise a document that is edited continuously would reach no sink.
    pub fn settle(&mut self, taking: Taking, settled: Settled, now_ms: u64, attempts_max: u32) -> Settlement {
        let delivery = match settled {
            Settled::Deliver { version, deleted, repair } => Some(self.work.delivery(version, deleted, repair)),
            _ => None,
        };
        let outcome = match taking.added_at_ms {
            Some(added_at_ms) => self.keep(&settled, added_at_ms),
            None => self.end(settled, now_ms, attempts_max),
        };
        Settlement { outcome, delivery }
    }

    /// Keeps an entry to which work was added before it was settled. If the taken work is done, the entry's age becomes
    /// that of the added work.
    fn keep(&mut self, settled: &Settled, added_at_ms: u64) -> QueueOutcome {
        self.work.not_before_ms = 0;
        if matches!(settled, Settled::Done | Settled::Deliver { .. }) {
            self.work.first_enqueued_at_ms = added_at_ms;
        }
        QueueOutcome::Kept
    }

    /// Settles an entry to which nothing was added.
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
        match (self.quarantined, self.work.is_pending()) {
            (_, false) => QueueOutcome::Removed,
            (true, true) => QueueOutcome::Quarantined,
            (false, true) => QueueOutcome::Kept,
        }
    }

    /// Releases the entry from quarantine and clears its attempts.
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

/// Example entries for tests of encodings.
#[cfg(any(test, feature = "conformance"))]
pub mod examples {
    use super::{Entry, Failure, Work};
    use uuid::Uuid;

    /// Returns an entry with a value in every field.
    #[must_use]
    pub fn entry(failure: Option<Failure>) -> Entry {
        let work = Work {
            document_id: -7,
            document_uuid: Uuid::from_u128(9),
            resource_key: -3,
            version: 1 << 40,
            xid: u64::MAX,
            history: 7,
            deleted: false,
            rebuild: true,
            cascade: true,
            repair: true,
            low_priority: true,
            attempts: 3,
            first_enqueued_at_ms: 11,
            not_before_ms: 12,
        };
        Entry { work, quarantined: failure.is_some(), failure }
    }
}
