//! The factory of change sources. The process that starts a projector decides which source it is.

use futures::future::BoxFuture;
use millstream_pipeline::Position;
use millstream_pipeline::source::{ChangeSource, SourceError, SourceIdentity, Stream};

/// Opens the source of changes, any number of times.
pub trait SourceFactory: Send + Sync + 'static {
    /// Returns the stream whose positions the source uses. A position stored for another stream is not resumed from.
    fn stream(&self) -> Stream;

    /// Returns a position that covers everything committed while the server's log was shorter than `lsn`; `None` while
    /// none is known yet, and the caller asks again. Any later position is correct too. A WAL position covers itself.
    ///
    /// # Errors
    /// [`SourceError::Lost`] when the source cannot map the position; other errors when a server does not answer.
    fn covering(&self, lsn: u64) -> BoxFuture<'_, Result<Option<Position>, SourceError>> {
        Box::pin(std::future::ready(Ok(Some(Position::before(lsn)))))
    }

    /// Opens the source at `start`. Fails rather than leaving a gap: see [`Start`].
    fn open(&self, start: Start) -> BoxFuture<'_, Result<Opened, SourceError>>;
}

/// The start of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Continue after `position`, up to which everything is durable here. Opening fails if the server has removed later
    /// changes ([`SourceError::Gap`], [`SourceError::Lost`]) or is another server ([`SourceError::Foreign`]).
    After {
        /// The durable position.
        position: Position,
        /// The history that it belongs to.
        identity: SourceIdentity,
    },
    /// Start from scratch: create a bookmark (or take over an existing one) and start with it. Every transaction that
    /// commits after `open` returns will be handed out; earlier ones are found by the resync that follows.
    Fresh,
}

/// The meaning of the numbers in a source's positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PositionKind {
    /// WAL positions: logical replication.
    #[default]
    Wal,
    /// Transaction ids: polling.
    Transactions,
    /// Sums of offsets: a topic.
    Offsets,
}

impl PositionKind {
    /// Returns the unit of the distance between two positions.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Wal => "bytes",
            Self::Transactions => "transactions",
            Self::Offsets => "offsets",
        }
    }
}

/// An open source.
pub struct Opened {
    /// The source.
    pub source: Box<dyn ChangeSource>,
    /// The position after which it starts.
    pub position: Position,
    /// The kind of its positions.
    pub kind: PositionKind,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("position", &self.position).field("kind", &self.kind).finish_non_exhaustive()
    }
}
