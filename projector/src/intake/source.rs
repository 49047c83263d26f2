//! How a projector gets hold of a source. Which one it is, is decided by whoever starts the projector.

use futures::future::BoxFuture;
use millstream_pipeline::Position;
use millstream_pipeline::source::{ChangeSource, SourceError, SourceIdentity, Stream};

/// Opens the source of changes, as often as that is necessary.
pub trait SourceFactory: Send + Sync + 'static {
    /// What its positions are positions in. A position that was stored of another stream is not gone on from.
    fn stream(&self) -> Stream;

    /// The position before which everything lies that was committed while the server's log was shorter than `lsn`; `None`
    /// as long as that is not known yet: ask again. Any later position is as right. WAL positions are their own answer.
    ///
    /// Fails with [`SourceError::Lost`] where nobody can tell, and otherwise when whoever has to be asked does not answer.
    fn covering(&self, lsn: u64) -> BoxFuture<'_, Result<Option<Position>, SourceError>> {
        Box::pin(std::future::ready(Ok(Some(Position::before(lsn)))))
    }

    /// Opens the source from `start` on. Fails rather than to leave a gap: see [`Start`].
    fn open(&self, start: Start) -> BoxFuture<'_, Result<Opened, SourceError>>;
}

/// Where a source is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Everything up to `position` is safe here: go on after it. If the server has forgotten what follows
    /// ([`SourceError::Gap`], [`SourceError::Lost`]) or is another one ([`SourceError::Foreign`]), opening fails.
    After {
        /// What is safe.
        position: Position,
        /// The history that it belongs to.
        identity: SourceIdentity,
    },
    /// Nothing is known here, or too little: make a bookmark (or take over the one there is) and begin with it. When
    /// `open` returns, every transaction that commits from now on will be handed out; what was committed before is
    /// found by the resynchronisation that follows.
    Anew,
}

/// What the numbers of a source's positions are.
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
    /// What the difference of two positions counts.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Wal => "bytes",
            Self::Transactions => "transactions",
            Self::Offsets => "offsets",
        }
    }
}

/// A source that is open.
pub struct Opened {
    /// The source.
    pub source: Box<dyn ChangeSource>,
    /// The position it begins after.
    pub position: Position,
    /// What its positions are.
    pub kind: PositionKind,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("position", &self.position).field("kind", &self.kind).finish_non_exhaustive()
    }
}
