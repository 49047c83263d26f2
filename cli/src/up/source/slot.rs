//! Logical replication: Millstream's own slot, read by this process.

use crate::config::Source;
use futures::future::BoxFuture;
use millstream_connectors::source::slot::{
    LogicalOptions, LogicalSource, drop_slot, ensure_slot, free_slot, slot_status,
};
use millstream_pipeline::{
    Position,
    source::{SourceError, SourceIdentity, Stream},
};
use millstream_projector::{Opened, PositionKind, SourceFactory, Start};
use millstream_store::connect::ConnectOptions;

/// Opens sources on one slot. A start without a stored position creates the slot.
#[derive(Debug)]
pub(super) struct SlotFactory {
    options: LogicalOptions,
}

/// Returns the options for the configured slot.
pub(in crate::up) fn options(database: &ConnectOptions, source: &Source) -> LogicalOptions {
    LogicalOptions { publication: source.publication.clone(), ..LogicalOptions::new(database, &source.slot) }
}

impl SlotFactory {
    /// Creates a factory for this slot.
    pub(super) fn new(options: LogicalOptions) -> Self {
        Self { options }
    }

    /// Opens a source after `position`. Fails if the slot no longer has every change that follows.
    async fn resume(&self, position: Position, identity: SourceIdentity) -> Result<Opened, SourceError> {
        let what = format!("slot {}", self.options.slot);
        match slot_status(&self.options).await? {
            None => return Err(SourceError::Lost { what, detail: "it does not exist".to_owned() }),
            Some(slot) if slot.identity != identity => {
                return Err(SourceError::Foreign { expected: identity, found: slot.identity });
            }
            Some(slot) if slot.wal_status == "lost" => {
                let detail = "the server has removed the log behind it (max_slot_wal_keep_size)".to_owned();
                return Err(SourceError::Lost { what, detail });
            }
            Some(slot) if slot.confirmed > position && slot.check_not_ahead(position).is_ok() => {
                return Err(SourceError::Gap { stored: position, resumes: slot.confirmed });
            }
            Some(slot) => slot.check_not_ahead(position)?,
        }
        self.start(position, identity)
    }

    /// Opens a source at the slot's own position, for a start without a stored one. Creates a missing slot, and
    /// recreates one that is lost or ahead of the log of a server that was put back.
    async fn start_fresh(&self) -> Result<Opened, SourceError> {
        let slot = match ensure_slot(&self.options).await {
            Err(error @ (SourceError::Lost { .. } | SourceError::Behind { .. })) => {
                tracing::warn!(%error, slot = self.options.slot, "recreating the slot");
                drop_slot(&self.options).await?;
                ensure_slot(&self.options).await?
            }
            slot => slot?,
        };
        self.start(slot.position, slot.identity)
    }

    fn start(&self, position: Position, identity: SourceIdentity) -> Result<Opened, SourceError> {
        let source = LogicalSource::start(self.options.clone(), position, Some(identity))?;
        Ok(Opened { source: Box::new(source), position, kind: PositionKind::Wal })
    }
}

impl SourceFactory for SlotFactory {
    fn stream(&self) -> Stream {
        Stream::slot(&self.options.slot)
    }

    fn open(&self, start: Start) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(async move {
            // This process holds the relay lease, so any other session on the slot belongs to a process that hangs or
            // has died.
            if free_slot(&self.options).await? {
                tracing::warn!(slot = self.options.slot, "terminated a session that still occupied the slot");
            }
            match start {
                Start::After { position, identity } => self.resume(position, identity).await,
                Start::Fresh => self.start_fresh().await,
            }
        })
    }
}
