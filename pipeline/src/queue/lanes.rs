//! The lanes of a queue: one for each sink, each a queue of its own.

use std::sync::Arc;

use futures::future::BoxFuture;
use uuid::Uuid;

use super::{QueueError, WorkQueue};

/// How long the name of a lane, and the key of a note, may be.
pub(super) const NAME_BYTES_MAX: usize = 40;

/// How long a note may be.
pub const NOTE_BYTES_MAX: usize = 4_096;

/// The lanes of a queue. Whatever is settled with [`super::Settled::Deliver`] in the queue is owed to each of them from
/// then on, one entry a document. Lanes know nothing of each other: what one does not take waits in it alone.
///
/// Names are 1 to 40 of `a-z`, `0-9` and `-`. All changes are durable when the call returns.
pub trait Lanes: Send + Sync + 'static {
    /// The lane `name`, which is made, empty and not paused, if it is not there.
    ///
    /// The lane is a [`WorkQueue`] with an epoch of its own: a lane that was removed and added again has another one.
    fn add_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn WorkQueue>, QueueError>>;

    /// Removes a lane with all it holds, its notes too. Whoever still has it gets [`QueueError::NoLane`] from then on.
    /// Answers whether it was there.
    ///
    /// Returns once the removal is certain; clearing the disk goes on in small steps, after a restart as well.
    fn remove_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, QueueError>>;

    /// The lane `name`, if there is one.
    fn lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn WorkQueue>>, QueueError>>;

    /// All lanes, in order of their names.
    fn lanes(&self) -> BoxFuture<'_, Result<Vec<LaneInfo>, QueueError>>;

    /// Pauses or resumes a lane. A paused lane accepts and settles as ever and hands out nothing: `take` is empty, and
    /// `ready` waits. [`QueueError::NoLane`] without such a lane.
    fn set_paused<'a>(&'a self, name: &'a str, paused: bool) -> BoxFuture<'a, Result<(), QueueError>>;

    /// Keeps up to [`NOTE_BYTES_MAX`] bytes with a lane under a key, which is made as names are; `None` forgets them.
    /// What pauses and backfills have to remember stands here. [`QueueError::NoLane`] without such a lane.
    fn set_note<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        note: Option<Vec<u8>>,
    ) -> BoxFuture<'a, Result<(), QueueError>>;

    /// The note that was set last. [`QueueError::NoLane`] without such a lane.
    fn note<'a>(&'a self, name: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, QueueError>>;
}

/// A lane as its queue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneInfo {
    /// The lane's name.
    pub name: String,
    /// The lane hands out nothing.
    pub paused: bool,
    /// The lane's own epoch ([`WorkQueue::epoch`]).
    pub epoch: Uuid,
}

/// Whether `name` may be the name of a lane, or the key of a note.
fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(letter)
}

/// Refuses what cannot be the name of a lane.
///
/// # Errors
/// [`QueueError::LaneName`].
pub fn check_name(name: &str) -> Result<(), QueueError> {
    if is_name(name) { Ok(()) } else { Err(QueueError::LaneName { name: name.to_owned() }) }
}

/// Refuses a note that cannot be kept, by its key or its size.
///
/// # Errors
/// [`QueueError::Note`].
pub fn check_note(key: &str, note: Option<&Vec<u8>>) -> Result<(), QueueError> {
    let bytes = note.map_or(0, Vec::len);
    if is_name(key) && bytes <= NOTE_BYTES_MAX { Ok(()) } else { Err(QueueError::Note { key: key.to_owned(), bytes }) }
}

/// Returns the error for a lane that does not exist.
#[must_use]
pub fn no_lane(name: &str) -> QueueError {
    QueueError::NoLane { name: name.to_owned() }
}
