//! The source of a test's projector: a replication slot.

use futures::future::BoxFuture;
use millstream_connectors::source::slot::{LogicalOptions, LogicalSource, ensure_slot};
use millstream_pipeline::source::{SourceError, Stream};
use millstream_projector::{Opened, PositionKind, SourceFactory, Start};
use millstream_store::connect::ConnectOptions;

/// A source factory for one replication slot.
pub(crate) struct Slot(LogicalOptions);

impl Slot {
    /// Creates the factory for the slot with this name; the slot is created when the source is opened.
    pub(crate) fn named(name: &str, database: &ConnectOptions) -> Self {
        Self(LogicalOptions::new(database, name))
    }
}

impl SourceFactory for Slot {
    fn stream(&self) -> Stream {
        Stream::slot(&self.0.slot)
    }

    fn open(&self, start: Start) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(async move {
            let slot = ensure_slot(&self.0).await?;
            let (position, identity) = match start {
                Start::After { position, identity } if slot.position <= position => (position, identity),
                Start::After { position, .. } => {
                    return Err(SourceError::Gap { stored: position, resumes: slot.position });
                }
                Start::Fresh => (slot.position, slot.identity),
            };
            let source = LogicalSource::start(self.0.clone(), position, Some(identity))?;
            Ok(Opened { source: Box::new(source), position, kind: PositionKind::Wal })
        })
    }
}
