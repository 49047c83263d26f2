//! Polling of the outbox table, for servers that do not grant replication.

use super::error::refused;
use futures::future::BoxFuture;
use millstream_connectors::source::poll::{PollOptions, PollSource};
use millstream_outbox::{read, retention::ensure_polling_index};
use millstream_pipeline::{
    Position,
    source::{SourceError, Stream},
};
use millstream_projector::{Opened, PositionKind, SourceFactory, Start};
use millstream_store::connect::Database;

/// Opens polling sources. Creates the table's polling index.
#[derive(Debug)]
pub(super) struct PollFactory {
    database: Database,
}

impl PollFactory {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    async fn start(&self, start: Start) -> Result<Opened, SourceError> {
        const ACTION: &str = "starting to poll the outbox";
        let client = self.database.get().await.map_err(refused(ACTION))?;
        // Creating the index of a large table takes a while.
        client.set_statement_limit(None);
        ensure_polling_index(&*client).await.map_err(refused(ACTION))?;
        let (position, identity) = match start {
            Start::After { position, identity } => (position, identity),
            Start::Fresh => {
                let identity = millstream_outbox::source_identity(&*client).await.map_err(refused(ACTION))?;
                (read::horizon(&*client).await.map_err(refused(ACTION))?, identity)
            }
        };
        // The source opens its own session: it would occupy one of the pool permanently.
        let database = self.database.options().clone();
        let source = PollSource::new(database, PollOptions::default(), position, Some(identity));
        Ok(Opened { source: Box::new(source), position, kind: PositionKind::Transactions })
    }
}

impl SourceFactory for PollFactory {
    fn stream(&self) -> Stream {
        Stream::poll()
    }

    fn open(&self, start: Start) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(self.start(start))
    }

    /// The horizon of running transactions: every committed transaction is below it once all that started earlier have
    /// ended.
    fn covering(&self, _: u64) -> BoxFuture<'_, Result<Option<Position>, SourceError>> {
        const ACTION: &str = "reading the end of committed transactions";
        Box::pin(async move {
            let client = self.database.get().await.map_err(refused(ACTION))?;
            read::behind_all_committed(&*client).await.map(Some).map_err(refused(ACTION))
        })
    }
}
