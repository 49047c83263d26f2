//! The lanes of a queue: one per sink, each a queue of its own.

use std::sync::Arc;

use futures::future::BoxFuture;
use uuid::Uuid;

use super::contract::WorkQueue;
use super::error::{NAME_BYTES_MAX, NOTE_BYTES_MAX, QueueError};

/// The lanes of a queue. An entry settled with [`super::Settled::Deliver`] in the cache queue is added to every lane,
/// one entry per document. Lanes are independent: an entry that one sink does not take waits in that lane only.
///
/// Names consist of 1 to 40 of `a-z`, `0-9` and `-`. All changes are durable when the call returns.
pub trait Lanes: Send + Sync + 'static {
    /// Returns the lane `name`; creates it, empty and not paused, if it does not exist.
    ///
    /// The lane is a [`WorkQueue`] with its own epoch. A lane that was removed and added again has a different one.
    fn add_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn WorkQueue>, QueueError>>;

    /// Removes a lane with its entries and notes, and returns whether it existed. From then on every call on the lane
    /// fails with [`QueueError::NoLane`].
    ///
    /// Returns once the removal is durable; the disk is cleared afterwards in small steps, also after a restart.
    fn remove_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, QueueError>>;

    /// Returns the lane `name`, if it exists.
    fn lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn WorkQueue>>, QueueError>>;

    /// Lists all lanes, in order of their names.
    fn lanes(&self) -> BoxFuture<'_, Result<Vec<LaneInfo>, QueueError>>;

    /// Pauses or resumes a lane. A paused lane accepts and settles entries and hands out none: `take` returns an empty
    /// list, `ready` waits. Fails with [`QueueError::NoLane`] if the lane does not exist.
    fn set_paused<'a>(&'a self, name: &'a str, paused: bool) -> BoxFuture<'a, Result<(), QueueError>>;

    /// Stores up to [`NOTE_BYTES_MAX`] bytes with a lane under a key, which follows the rules for names; `None` removes
    /// them. Pauses and backfills keep their state here. Fails with [`QueueError::NoLane`] if the lane does not exist.
    fn set_note<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        note: Option<Vec<u8>>,
    ) -> BoxFuture<'a, Result<(), QueueError>>;

    /// Returns the note that was set last. Fails with [`QueueError::NoLane`] if the lane does not exist.
    fn note<'a>(&'a self, name: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, QueueError>>;
}

/// A lane's name and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneInfo {
    /// The lane's name.
    pub name: String,
    /// The lane hands out nothing.
    pub paused: bool,
    /// The lane's own epoch ([`WorkQueue::epoch`]).
    pub epoch: Uuid,
}

/// Returns whether `name` is valid as the name of a lane or the key of a note.
fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(letter)
}

/// Checks the name of a lane.
///
/// # Errors
/// [`QueueError::LaneName`].
pub fn check_name(name: &str) -> Result<(), QueueError> {
    if is_name(name) { Ok(()) } else { Err(QueueError::LaneName { name: name.to_owned() }) }
}

/// Checks the key and the size of a note.
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
