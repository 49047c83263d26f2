//! The contract of a source of change records. Implementations: logical replication, polling, Kafka.

use std::fmt;

use futures::future::BoxFuture;

use crate::change::Change;
use crate::position::Position;

/// Delivers change records in commit order, from a [`Position`] on, each at least once.
///
/// A source reconnects and retries by itself for as long as that can help; an error that it returns needs an operator.
/// It delivers only committed changes, long transactions in bounded chunks. It advances the server's bookmark only as
/// far as [`ChangeSource::confirm`] allows.
///
/// ```
/// use futures::future::BoxFuture;
/// use millstream_pipeline::Position;
/// use millstream_pipeline::source::{ChangeSource, SourceError, SourceEvent, SourceStatus};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// /// A source without changes.
/// #[derive(Default)]
/// struct IdleSource {
///     confirmed: AtomicU64,
/// }
///
/// impl ChangeSource for IdleSource {
///     fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>> {
///         Box::pin(async { Ok(SourceEvent::Idle { position: Position::before(0x100) }) })
///     }
///
///     fn confirm(&self, position: Position) {
///         self.confirmed.fetch_max(position.lsn, Ordering::Relaxed);
///     }
///
///     fn status(&self) -> SourceStatus {
///         let confirmed = Position::before(self.confirmed.load(Ordering::Relaxed));
///         SourceStatus { connected: true, confirmed, ..SourceStatus::default() }
///     }
///
///     fn shutdown(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>> {
///         Box::pin(async { Ok(()) })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), SourceError> {
/// let mut source = IdleSource::default();
/// let event = source.next().await?;
/// // Store the event's changes and position durably, then confirm.
/// source.confirm(event.position());
/// assert_eq!(source.status().confirmed, Position::before(0x100));
/// # Ok(())
/// # }
/// ```
pub trait ChangeSource: Send {
    /// Waits for the next event.
    ///
    /// Cancellation safe: if the future is dropped before it completes, no event is lost.
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>>;

    /// Confirms that everything up to `position` is durable here, so that the server may discard it. Returns at once;
    /// the source reports to the server within its reporting interval. Positions only grow: an older one is ignored.
    fn confirm(&self, position: Position);

    /// Returns the state of the source.
    fn status(&self) -> SourceStatus;

    /// Stops once the last confirmation has reached the server or a short deadline has passed. Changes that were not
    /// delivered or not confirmed come again after the next start.
    fn shutdown(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>>;
}

/// An event of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// Change records of one transaction, of several, or of a part of a long one.
    Changes(ChangeBatch),
    /// Nothing is in flight: everything before `position` was delivered. Storing and confirming it lets the server
    /// discard the WAL of its other databases.
    Idle {
        /// The server's position.
        position: Position,
    },
}

impl SourceEvent {
    /// Returns the position that the consumer reaches once the event's changes are stored.
    #[must_use]
    pub const fn position(&self) -> Position {
        match self {
            Self::Changes(batch) => batch.position,
            Self::Idle { position } => *position,
        }
    }
}

/// Change records in commit order, with the position after them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeBatch {
    /// The records.
    pub changes: Vec<Change>,
    /// The position after the last record: store it in the same durable step as the records' work, then confirm it. A
    /// position inside a transaction may be confirmed: the server then keeps the whole transaction.
    pub position: Position,
}

/// The cluster and timeline that a position belongs to. In another one it has no meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIdentity {
    /// `system_identifier` of the cluster.
    pub system_identifier: String,
    /// The timeline, which changes with each promotion and point-in-time recovery.
    pub timeline: i32,
}

impl fmt::Display for SourceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "system {} on timeline {}", self.system_identifier, self.timeline)
    }
}

/// The name of the stream of changes that a position belongs to. In another stream it has no meaning: a change of
/// stream requires a comparison of all documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream(String);

impl Stream {
    /// Prefix of slot streams. Versions that stored no stream could follow only slots.
    const SLOT: &str = "slot ";

    /// Returns the stream of a replication slot.
    #[must_use]
    pub fn slot(name: &str) -> Self {
        Self(format!("{}{name}", Self::SLOT))
    }

    /// Returns the stream of the polled outbox table.
    #[must_use]
    pub fn poll() -> Self {
        Self("poll".to_owned())
    }

    /// Returns the stream of a topic of change records.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self(format!("topic {name}"))
    }

    /// Returns the stream that any version stored as `text`.
    #[must_use]
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// The stored form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether a position stored under `stored` belongs to this stream. Versions that stored no stream followed
    /// slots.
    #[must_use]
    pub fn continues(&self, stored: Option<&Self>) -> bool {
        stored.map_or_else(|| self.0.starts_with(Self::SLOT), |stored| stored == self)
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state of a source, for `status`, health and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// Whether changes can arrive right now.
    pub connected: bool,
    /// Reconnections since the start.
    pub reconnects: u64,
    /// The last error since the last success.
    pub last_error: Option<String>,
    /// The server's position, as it reports it.
    pub server_position: Position,
    /// The position up to which changes were delivered.
    pub delivered: Position,
    /// The position that was confirmed to the server.
    pub confirmed: Position,
}

/// Why a source cannot continue by itself.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The server has discarded changes that were never stored here. Recovery: replay the outbox from the recovery
    /// watermark.
    #[error(
        "gap: changes are stored up to {stored}, but the server resumes at {resumes}: the changes between were confirmed \
         elsewhere or lost here"
    )]
    Gap {
        /// The position that is durable here.
        stored: Position,
        /// The position at which the server would resume.
        resumes: Position,
    },
    /// The server has no bookmark for this source, or has dropped the log that it needs. Recovery: create a new
    /// bookmark, then replay the outbox from the recovery watermark.
    #[error("{what} is lost: {detail}")]
    Lost {
        /// The lost bookmark, such as the name of the slot.
        what: String,
        /// The evidence.
        detail: String,
    },
    /// The server or its timeline is not the one that the stored position belongs to. Transaction ids and positions
    /// have no meaning here: compare all copies with the tables.
    #[error("the database is {found}, but the stored position belongs to {expected}: resynchronise by comparison")]
    Foreign {
        /// The identity that the stored position belongs to.
        expected: SourceIdentity,
        /// The identity of the server.
        found: SourceIdentity,
    },
    /// The server has not come as far as the stored position: it was put back to an earlier state, or lost commits in a
    /// crash. Positions, transaction ids and versions have been given out again, or will be: begin a new history and
    /// compare all copies with the tables.
    #[error(
        "the server is at {server}, before the stored position {stored}: it was put back to an earlier state, or has \
         lost commits"
    )]
    Behind {
        /// The position that is durable here.
        stored: Position,
        /// The end of the server's log, or its newest transaction.
        server: Position,
    },
    /// The server refused; trying again cannot help before an operator changes a setting, a privilege or a name.
    #[error("{what} failed: {detail}")]
    Refused {
        /// The operation.
        what: String,
        /// The server's response.
        detail: String,
    },
    /// The stream holds something that this version cannot decode.
    #[error("the change stream cannot be read: {0}")]
    Unreadable(String),
    /// The source was shut down, or its thread has ended.
    #[error("the source has stopped")]
    Stopped,
}

impl SourceError {
    /// Returns whether recovery is needed: create a new bookmark and replay the outbox from the recovery watermark.
    #[must_use]
    pub const fn needs_recovery(&self) -> bool {
        matches!(self, Self::Gap { .. } | Self::Lost { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_resumed_in_its_own_stream_only() {
        let (slot, other, poll, topic) =
            (Stream::slot("millstream"), Stream::slot("other"), Stream::poll(), Stream::topic("millstream"));
        for stream in [&slot, &other, &poll, &topic] {
            assert!(stream.continues(Some(stream)), "{stream}");
            assert!(stream.continues(Some(&Stream::stored(stream.as_str().to_owned()))), "{stream}");
        }
        assert!(!slot.continues(Some(&other)) && !slot.continues(Some(&topic)) && !poll.continues(Some(&slot)));
        assert!(slot.continues(None), "an older version stored no stream");
        assert!(!poll.continues(None) && !topic.continues(None));
    }
}
