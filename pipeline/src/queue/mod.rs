//! The durable queue that work waits in between the source and the projector.
//!
//! One entry a document, whatever the number of its changes. An entry is in one of four places: ready (direct edits and
//! touches apart), waiting for a time, in flight, or in quarantine. What was put is on disk before `put` returns; what
//! was settled may be forgotten by a crash and is then done again, which is harmless because every write downstream is
//! guarded by versions. Being in flight is never stored: after a restart everything that was not settled is ready again.
//!
//! A queue has a stage, from which documents are rebuilt, and may have [`Lanes`]: one for each sink that wants the rebuilt
//! documents, each a [`WorkQueue`] of its own. [`Settled::Deliver`] moves an entry from the stage into all of them.

pub mod bytes;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod entry;
mod error;
pub mod lanes;
mod memory;
mod work;

use futures::future::BoxFuture;
use uuid::Uuid;

pub use self::error::QueueError;
pub use self::lanes::{LaneInfo, Lanes, NOTE_BYTES_MAX, check_name, check_note};
pub use self::memory::MemoryQueue;
pub use self::work::Work;
use crate::Position;

/// A queue of work, one entry a document. All of it may be called from any task at any time.
///
/// No call is torn by a dropped future: either all of it happens or nothing, though the caller no longer learns which.
///
/// A queue that several processes share keeps these promises to each of them, with three exceptions that no log shared by
/// many can help. Its order is that of what the asking process has in hand. What was settled before something older is
/// done may be done again by the next process. And a put that is cut off by the end of its process may be there in part,
/// without its position, so that the rest follows when it is put again.
pub trait WorkQueue: Send + Sync + 'static {
    /// Adds work, and the source position that it brings us to, in one durable step: when this returns, a crash loses
    /// neither. Obligations are added to an entry that is there already ([`Work::absorb`]). Putting the same again, or
    /// something older, does no harm. The stored position never goes back. Without work it stores the position alone.
    fn put(&self, work: Vec<Work>, position: Option<Position>) -> BoxFuture<'_, Result<(), QueueError>>;

    /// Up to `max` entries that are ready and not in flight, which are in flight from now on, until they are settled.
    /// Empty if there are none; [`WorkQueue::ready`] waits for one.
    ///
    /// The oldest first; direct edits before entries whose time has come and before touches, but of four entries taken
    /// the second to last and the last are of those kinds if there are any.
    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>>;

    /// Reports what became of entries that were taken. An entry to which something was added meanwhile stays, with all its
    /// obligations and ready at once, whatever is reported; after [`Settled::Done`] and [`Settled::Deliver`] it is only
    /// as old as what was added.
    fn settle(&self, settled: Vec<(Ticket, Settled)>) -> BoxFuture<'_, Result<SettleReport, QueueError>>;

    /// Completes when there is, or just was, something to take. Cancellation safe. More than one waiter may wake up for
    /// one entry.
    fn ready(&self) -> BoxFuture<'_, Result<(), QueueError>>;

    /// The position that was stored last, or `None` if none ever was. A lane has a position of its own, for those who put
    /// into it (a backfill keeps its place there); what the stage delivers does not move it.
    fn position(&self) -> BoxFuture<'_, Result<Option<Position>, QueueError>>;

    /// Stores `position` even if it lies before the stored one: after the source has changed its identity.
    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>>;

    /// Made with the queue and kept for its life: another epoch means that everything in the old queue is gone.
    fn epoch(&self) -> Uuid;

    /// How much there is.
    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>>;

    /// Entries in quarantine, in order of their document ids, from after `after_document_id` on.
    fn quarantined(
        &self,
        after_document_id: Option<i64>,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>>;

    /// Makes entries ready again that are in quarantine, with their attempts forgotten. Answers how many there were.
    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>>;

    /// Gives up what is owed to documents in quarantine. Answers how many there were.
    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>>;

    /// Records that nobody could read: they are kept, and hold up nothing. Only where others can write to what the queue
    /// is kept in: a queue on local disk does not open with anything that it cannot read, so it has none.
    fn unreadable(&self) -> BoxFuture<'_, Result<Vec<Unreadable>, QueueError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Lets go of records that nobody could read, by their places. Answers how many there were.
    fn discard_unreadable(&self, places: Vec<String>) -> BoxFuture<'_, Result<u64, QueueError>> {
        drop(places);
        Box::pin(std::future::ready(Ok(0)))
    }
}

/// An entry that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What to settle it with.
    pub ticket: Ticket,
    /// What is owed.
    pub work: Work,
}

/// The right to settle one entry, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(crate) document_id: i64,
    pub(crate) take: u64,
}

impl Ticket {
    /// A ticket of a queue that lives in another crate; `take` tells two takings of one document apart.
    #[must_use]
    pub const fn new(document_id: i64, take: u64) -> Self {
        Self { document_id, take }
    }

    /// The document that was taken.
    #[must_use]
    pub const fn document_id(&self) -> i64 {
        self.document_id
    }

    /// Which taking of the document this is.
    #[must_use]
    pub const fn take(&self) -> u64 {
        self.take
    }
}

/// What became of an entry that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// Nothing is owed any more.
    Done,
    /// Nothing is owed any more here, and an entry for the document is added to every lane in the same atomic step
    /// ([`Work::delivery`], [`Work::absorb`]), also if this one stays because something was added to it. As with every
    /// settlement a crash may forget it, but never one half of it. Without lanes, and in a lane, it is [`Settled::Done`].
    Deliver {
        /// The version whose body was made, or that of the delete.
        version: i64,
        /// The document was deleted.
        deleted: bool,
        /// What the copies hold at this version may be damaged ([`Work::repair`]).
        repair: bool,
    },
    /// Part of it was done: this is what is still owed (a delete stays owed until [`Settled::Done`]).
    Remaining {
        /// The body has still to be made.
        rebuild: bool,
        /// There may still be open cascades.
        cascade: bool,
        /// When to go on; 0 for at once.
        not_before_ms: u64,
    },
    /// Nothing was wrong with the document: its commit was not visible yet, or the database was away. No attempt is
    /// counted.
    RetryAt {
        /// When to try again.
        not_before_ms: u64,
    },
    /// This document failed. The attempt is counted, and the last one that is allowed leads to quarantine.
    Failed {
        /// When to try again.
        not_before_ms: u64,
        /// What went wrong, for the operator.
        reason: String,
    },
    /// This document cannot succeed: to quarantine at once.
    Quarantine {
        /// What went wrong, for the operator.
        reason: String,
    },
}

/// How many entries settling has changed in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SettleReport {
    /// Gone: nothing is owed.
    pub removed: u64,
    /// Still there, to be taken again.
    pub kept: u64,
    /// Put into quarantine.
    pub quarantined: u64,
    /// Tickets that were settled before.
    pub unknown: u64,
}

/// An entry that is not tried any more until an operator or a newer version of the document says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// What is owed.
    pub work: Work,
    /// What went wrong last.
    pub reason: String,
    /// When an attempt failed first since the last newer version.
    pub first_failed_at_ms: u64,
    /// When an attempt failed last.
    pub last_failed_at_ms: u64,
}

/// A record of the queue that nobody could read. What it asked for is not known, so it cannot be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it stood, and its name for [`WorkQueue::discard_unreadable`]: `topic/partition/offset`.
    pub place: String,
    /// What is wrong with it, for the operator.
    pub reason: String,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// How much waits in the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// All entries but those in quarantine: ready, delayed and in flight.
    pub depth: u64,
    /// Those of them that are only touches and not delayed.
    pub touches: u64,
    /// Those of them that were taken and not settled.
    pub in_flight: u64,
    /// Those of them that were put off to a later time.
    pub delayed: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Records that nobody could read, which are kept beside the quarantine ([`Unreadable`]).
    pub unreadable: u64,
    /// How long ago the oldest obligation was put; of delayed entries only the first thousand are looked at.
    pub oldest_age_ms: u64,
    /// There may be older ones than [`QueueStats::oldest_age_ms`] says: in a shared queue nobody knows the age of what
    /// others have in hand, or nobody has read yet; in a local one not all that were put off are looked at.
    pub ages_unknown: bool,
    /// What the queue occupies on disk, all lanes included; 0 for a lane, which lives on the disk of its queue.
    pub disk_bytes: u64,
}
