//! Logical replication: a slot of our own, read by this process.

use crate::config::Source;
use futures::future::BoxFuture;
use millstream_connectors::source::slot::{LogicalOptions, LogicalSource, drop_slot, ensure_slot, free_slot, slot_status};
use millstream_pipeline::{
    Position,
    source::{SourceError, SourceIdentity, Stream},
};
use millstream_projector::{Opened, PositionKind, SourceFactory, Start};
use millstream_store::connect::ConnectOptions;

/// Opens the slot, making it where there is none.
#[derive(Debug)]
pub(super) struct SlotFactory {
    options: LogicalOptions,
}

/// How to follow the slot that is configured.
pub(in crate::up) fn options(database: &ConnectOptions, source: &Source) -> LogicalOptions {
    let password = database.password().map(String::from_utf8_lossy).unwrap_or_default();
    let mut options = LogicalOptions::new(
        database.host().to_string(),
        database.port(),
        database.user(),
        password,
        database.dbname(),
        &source.slot,
    );
    options.publication.clone_from(&source.publication);
    options.ssl_mode = database.ssl_mode();
    options.ssl_root_cert = database.ssl_root_cert().map(ToOwned::to_owned);
    options
}

impl SlotFactory {
    /// A factory for this slot.
    pub(super) fn new(options: LogicalOptions) -> Self {
        Self { options }
    }

    /// Goes on after `position`, if the slot still has everything that follows it.
    async fn go_on(&self, position: Position, identity: SourceIdentity) -> Result<Opened, SourceError> {
        let what = format!("slot {}", self.options.slot);
        match slot_status(&self.options).await? {
            None => return Err(SourceError::Lost { what, detail: "it does not exist".to_owned() }),
            Some(slot) if slot.wal_status == "lost" => {
                let detail = "the server has removed the log behind it (max_slot_wal_keep_size)".to_owned();
                return Err(SourceError::Lost { what, detail });
            }
            Some(slot) if slot.confirmed > position => {
                return Err(SourceError::Gap { stored: position, resumes: slot.confirmed });
            }
            Some(_) => {}
        }
        self.start(position, identity)
    }

    /// Begins with the slot as it is, or with a new one in place of one that cannot be streamed from.
    async fn anew(&self) -> Result<Opened, SourceError> {
        let slot = match ensure_slot(&self.options).await {
            Err(SourceError::Lost { what, detail }) => {
                tracing::warn!(what, detail, "making the slot anew");
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
            // It is this process's turn: whoever still reads from the slot sleeps, or is gone.
            if free_slot(&self.options).await? {
                tracing::warn!(slot = self.options.slot, "a session that still held the slot was ended");
            }
            match start {
                Start::After { position, identity } => self.go_on(position, identity).await,
                Start::Fresh => self.anew().await,
            }
        })
    }
}
