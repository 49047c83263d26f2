//! What a source of change records promises, whatever carries them: logical replication, polling, Kafka.

use std::fmt;

use futures::future::BoxFuture;

use crate::{Change, Position};

/// Change records in commit order, from a [`Position`] on, each at least once.
///
/// A source reconnects and retries by itself for as long as trying again can help; what it returns as an error needs
/// somebody to act. It hands out nothing before its transaction committed, and bounded chunks of what is too long to
/// hand out at once. It moves the server's bookmark only as far as [`ChangeSource::confirm`] allows.
pub trait ChangeSource: Send {
    /// The next event, waiting for it as long as it takes.
    ///
    /// Cancellation safe: if the future is dropped before it completes, no event is lost.
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>>;

    /// Tells the source that everything up to `position` is safe on disk, so that the server need not keep it. Returns
    /// at once; the server learns of it within the source's reporting interval. Positions only grow: an older one is
    /// ignored.
    fn confirm(&self, position: Position);

    /// How the source is doing.
    fn status(&self) -> SourceStatus;

    /// Stops, after the last confirmation has reached the server or a short deadline has passed. What was received but
    /// not handed out comes again after the next start, as does what was not confirmed.
    fn shutdown(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>>;
}

/// What a source hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceEvent {
    /// Change records: one transaction, several, or a part of a long one.
    Changes(ChangeBatch),
    /// Nothing is in flight: everything before `position` has been handed out. Storing and confirming it lets the server
    /// forget the log of its other databases.
    Idle {
        /// How far the server has come.
        position: Position,
    },
}

impl SourceEvent {
    /// How far this event brings its consumer once its changes are stored.
    #[must_use]
    pub const fn position(&self) -> Position {
        match self {
            Self::Changes(batch) => batch.position,
            Self::Idle { position } => *position,
        }
    }
}

/// Change records in commit order, together with how far they reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeBatch {
    /// The records.
    pub changes: Vec<Change>,
    /// The position after the last of them: store it in the same durable step as their work, then confirm it. It is safe
    /// to confirm even if it lies inside a transaction: the server then keeps that transaction whole.
    pub position: Position,
}

/// Which server, database and history a position belongs to. In another one it means nothing.
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

/// Which stream of changes positions are positions in. In another one, a position means nothing: whoever changes from one
/// to the other compares all documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream(String);

impl Stream {
    /// What every version could follow; a row that names no stream is of one.
    const SLOT: &str = "slot ";

    /// The stream of a replication slot.
    #[must_use]
    pub fn slot(name: &str) -> Self {
        Self(format!("{}{name}", Self::SLOT))
    }

    /// The outbox table, polled.
    #[must_use]
    pub fn poll() -> Self {
        Self("poll".to_owned())
    }

    /// A topic of change records.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self(format!("topic {name}"))
    }

    /// A stream as it was stored, by whatever version.
    #[must_use]
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a position that was stored under `stored` is one in this stream. Versions that stored no stream followed
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

/// How a source is doing, for `status`, health and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// Whether changes can arrive right now.
    pub connected: bool,
    /// How often the connection was lost and tried again since the start.
    pub reconnects: u64,
    /// What went wrong last, if anything did since the last success.
    pub last_error: Option<String>,
    /// How far the server says that it has come.
    pub server_position: Position,
    /// How far changes have been handed out.
    pub delivered: Position,
    /// How far the server has been told that they are safe.
    pub confirmed: Position,
}

/// Why a source cannot go on by itself.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The server has already forgotten changes that were never stored here. Recover: replay the outbox from the
    /// recovery watermark.
    #[error(
        "gap: changes are stored up to {stored}, but the server resumes at {resumes}: what lies between was confirmed \
         elsewhere or lost here"
    )]
    Gap {
        /// The position that is safe here.
        stored: Position,
        /// Where the server would go on.
        resumes: Position,
    },
    /// The server keeps no bookmark for us, or has dropped the log behind it. Recover: make a new one, then replay the
    /// outbox from the recovery watermark.
    #[error("{what} is lost: {detail}")]
    Lost {
        /// What is gone, such as the name of the slot.
        what: String,
        /// How it is known.
        detail: String,
    },
    /// This is not the server, or not the history, that the stored position belongs to. Transaction ids and positions
    /// mean nothing here: compare all copies with the tables.
    #[error("the database is {found}, but the stored position belongs to {expected}: resynchronise by comparison")]
    Foreign {
        /// What the stored position belongs to.
        expected: SourceIdentity,
        /// What answered.
        found: SourceIdentity,
    },
    /// Trying again cannot help before somebody changes a setting, a privilege or a name.
    #[error("{what} failed: {detail}")]
    Refused {
        /// What was being done.
        what: String,
        /// What came back.
        detail: String,
    },
    /// The stream holds something that this version cannot read.
    #[error("the change stream cannot be read: {0}")]
    Unreadable(String),
    /// The source was shut down, or its thread is gone.
    #[error("the source has stopped")]
    Stopped,
}

impl SourceError {
    /// Whether the way on is to make a new bookmark and replay the outbox from the recovery watermark.
    #[must_use]
    pub const fn needs_recovery(&self) -> bool {
        matches!(self, Self::Gap { .. } | Self::Lost { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_gone_on_from_in_its_own_stream_only() {
        let (slot, other, poll, topic) =
            (Stream::slot("millstream"), Stream::slot("other"), Stream::poll(), Stream::topic("millstream"));
        for stream in [&slot, &other, &poll, &topic] {
            assert!(stream.continues(Some(stream)), "{stream}");
            assert!(stream.continues(Some(&Stream::stored(stream.as_str().to_owned()))), "{stream}");
        }
        assert!(!slot.continues(Some(&other)) && !slot.continues(Some(&topic)) && !poll.continues(Some(&slot)));
        assert!(slot.continues(None), "what an older version stored");
        assert!(!poll.continues(None) && !topic.continues(None));
    }
}
