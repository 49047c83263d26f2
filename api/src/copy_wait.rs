//! Waiting for a copy of the documents, behind `X-Millstream-Min-Version`.

use futures::future::BoxFuture;
use std::time::Duration;

/// The copy that a request reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadCopy {
    /// The documents themselves: always current.
    Source,
    /// The copy behind searches.
    Search,
}

/// Waits until a copy has caught up with a version.
pub trait CopyWait: Send + Sync + 'static {
    /// Waits until a read of the copy shows everything up to `version`, for `time_max` at most. Returns at once for
    /// [`ReadCopy::Source`].
    fn wait(&self, copy: ReadCopy, version: i64, time_max: Duration) -> BoxFuture<'_, Result<Waited, WaitError>>;
}

/// The result of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The copy shows the version.
    Reached,
    /// The copy did not reach the version in time.
    Behind,
    /// No document ever had such a version.
    NeverGiven,
}

/// The progress of the copy is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the progress of the copy is unknown: {reason}")]
pub struct WaitError {
    /// The cause, for the log.
    pub reason: String,
}
