//! Taking and settling: tickets, the outcomes that a taker reports, and the queue's report.

use super::work::Work;

/// An entry that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Settles the entry.
    pub ticket: Ticket,
    /// The pending work.
    pub work: Work,
}

/// The right to settle one entry, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) document_id: i64,
    pub(crate) take: u64,
}

impl Ticket {
    /// Returns a ticket of a queue that lives in another crate; `take` tells two takings of one document apart.
    #[must_use]
    pub const fn new(document_id: i64, take: u64) -> Self {
        Self { document_id, take }
    }

    /// The document that was taken.
    #[must_use]
    pub const fn document_id(&self) -> i64 {
        self.document_id
    }

    /// The number of this taking.
    #[must_use]
    pub const fn take(&self) -> u64 {
        self.take
    }
}

/// The outcome of a taken entry, as its taker reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Nothing is pending any more.
    Done,
    /// Nothing is pending here any more. In the same atomic step an entry for the document is added to every lane
    /// ([`Work::delivery`], [`Work::absorb`]), also if this entry stays because work was added to it. A crash may
    /// forget this settlement like any other, but never one half of it. Without lanes, and in a lane, it is
    /// [`Settled::Done`].
    Deliver {
        /// The version of the rebuilt body, or that of the delete.
        version: i64,
        /// The document was deleted.
        deleted: bool,
        /// Copies may hold damaged bytes at this version ([`Work::repair`]).
        repair: bool,
    },
    /// Part of the work was done; this part is still pending. A delete stays pending until [`Settled::Done`].
    Remaining {
        /// The body has still to be rebuilt.
        rebuild: bool,
        /// There may still be open cascades.
        cascade: bool,
        /// When to go on; 0 for at once.
        not_before_ms: u64,
    },
    /// The document was not at fault: its commit was not visible yet, or the database was unreachable. No attempt is
    /// counted.
    RetryAt {
        /// When to try again.
        not_before_ms: u64,
    },
    /// This document failed. The attempt is counted; the last allowed one leads to quarantine.
    Failed {
        /// When to try again.
        not_before_ms: u64,
        /// The failure, for the operator.
        reason: String,
    },
    /// This document cannot succeed: it goes to quarantine at once.
    Quarantine {
        /// The failure, for the operator.
        reason: String,
    },
}

/// Counts of settled entries, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SettleReport {
    /// Removed: nothing is pending.
    pub removed: u64,
    /// Still in the queue, to be taken again.
    pub kept: u64,
    /// Moved to quarantine.
    pub quarantined: u64,
    /// Tickets that were settled before.
    pub unknown: u64,
}
