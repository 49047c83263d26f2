//! The contract of a work queue.

use futures::future::BoxFuture;
use uuid::Uuid;

use super::error::QueueError;
use super::settle::{SettleReport, Settled, Taken, Ticket};
use super::stats::{Quarantined, QueueProblem, QueueStats, Unreadable};
use super::work::Work;
use crate::position::Position;

/// A queue of work with one entry per document. Every method may be called from any task at any time.
///
/// A call whose future is dropped is either carried out completely or not at all; the caller does not learn which.
///
/// A queue that several processes share keeps these promises to each of them, with three exceptions that follow from
/// sharing a log. It orders only the entries that the asking process holds. Entries that were settled before an older
/// one is done may be done again by the next process. A `put` that is cut off by the end of its process may be stored
/// in part, without its position; putting it again adds the rest.
///
/// ```
/// use millstream_pipeline::clock::SystemClock;
/// use millstream_pipeline::queue::{MemoryQueue, QueueError, Settled, Work, WorkQueue};
/// use millstream_pipeline::{Change, ChangeKind, Position};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), QueueError> {
/// let queue = MemoryQueue::new(Arc::new(SystemClock), 3);
/// let change = Change {
///     outbox_id: 1,
///     xid: 700,
///     document_id: 42,
///     document_uuid: uuid::Uuid::from_u128(42),
///     resource_key: 5,
///     kind: ChangeKind::Upsert,
///     content_version: 9,
/// };
/// queue.put(vec![Work::of(&change, 0)], Some(Position::before(0x100))).await?;
///
/// let taken = queue.take(10).await?;
/// assert_eq!(taken[0].work.version, 9);
/// let settled = taken.iter().map(|taken| (taken.ticket, Settled::Done)).collect();
/// assert_eq!(queue.settle(settled).await?.removed, 1);
/// # Ok(())
/// # }
/// ```
pub trait WorkQueue: Send + Sync + 'static {
    /// Adds work, and the source position that it reaches, in one durable step: once this returns, a crash loses
    /// neither. Work for a document that already has an entry is merged into it ([`Work::absorb`]). Putting the same or
    /// older work again does no harm. The stored position never goes back. Without work only the position is stored.
    fn put(&self, work: Vec<Work>, position: Option<Position>) -> BoxFuture<'_, Result<(), QueueError>>;

    /// Takes up to `max` entries that are ready. They are in flight until they are settled. Returns an empty list if
    /// none is ready; [`WorkQueue::ready`] waits for one.
    ///
    /// The oldest entry goes first. Direct edits go before delayed entries that are due and before touches, but of four
    /// entries in a row the third and the fourth are of those two kinds if there are any.
    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>>;

    /// Reports the outcome of entries that were taken. An entry to which work was added meanwhile stays, with all its
    /// work pending and ready at once, whatever is reported. After [`Settled::Done`] and [`Settled::Deliver`] its age
    /// is that of the added work.
    fn settle(&self, settled: Vec<(Ticket, Settled)>) -> BoxFuture<'_, Result<SettleReport, QueueError>>;

    /// Completes when an entry is, or just was, ready. Cancellation safe. Several waiters may wake up for one entry.
    fn ready(&self) -> BoxFuture<'_, Result<(), QueueError>>;

    /// Returns the position that was stored last, or `None` if none ever was. A lane has a position of its own, for
    /// callers that put into it (a backfill keeps its place there); deliveries from the cache queue do not move it.
    fn position(&self) -> BoxFuture<'_, Result<Option<Position>, QueueError>>;

    /// Stores `position` even if it lies before the stored one: after the source has changed its identity.
    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>>;

    /// Returns the id that was made with the queue. Another epoch means that everything in the old queue is gone.
    fn epoch(&self) -> Uuid;

    /// Counts the entries.
    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>>;

    /// Returns the reason why the queue stands at the moment, if it has one: the topic of a shared queue is gone, or this
    /// process may not read it, so nothing is handed out; the disk of a local queue is full, so changes wait.
    fn problem(&self) -> Option<QueueProblem> {
        None
    }

    /// Lists entries in quarantine in the order of their document ids, starting after `after_document_id`.
    fn quarantined(
        &self,
        after_document_id: Option<i64>,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>>;

    /// Makes quarantined entries ready again and clears their attempts. Returns the number of entries released.
    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>>;

    /// Drops quarantined entries with their pending work. Returns the number of entries dropped.
    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>>;

    /// Lists records that could not be decoded. They are kept and delay nothing. Only a queue whose storage others can
    /// write to has such records: a queue on local disk refuses to open with one.
    fn unreadable(&self) -> BoxFuture<'_, Result<Vec<Unreadable>, QueueError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Drops records that could not be decoded, by their places. Returns the number of records dropped.
    fn discard_unreadable(&self, places: Vec<String>) -> BoxFuture<'_, Result<u64, QueueError>> {
        drop(places);
        Box::pin(std::future::ready(Ok(0)))
    }
}
