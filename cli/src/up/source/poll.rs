//! Polling: the outbox table, for servers where replication is not granted.

use super::refused;
use futures::future::BoxFuture;
use millstream_connectors::source::poll::{AsClient, Connections, PollOptions, PollSource};
use millstream_outbox::{read, retention::ensure_polling_index};
use millstream_pipeline::{
    Position,
    source::{SourceError, Stream},
};
use millstream_projector::{Opened, PositionKind, SourceFactory, Start};
use millstream_store::connect::{ConnectOptions, Database, Session};

/// Reads the table, which it gives its index.
#[derive(Debug)]
pub(super) struct PollFactory {
    database: Database,
}

impl PollFactory {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    async fn start(&self, start: Start) -> Result<Opened, SourceError> {
        const ACTION: &str = "beginning to poll the outbox";
        let client = self.database.get().await.map_err(refused(ACTION))?;
        ensure_polling_index(&**client).await.map_err(refused(ACTION))?;
        let (position, identity) = match start {
            Start::After { position, identity } => (position, identity),
            Start::Fresh => {
                let identity = millstream_outbox::source_identity(&**client).await.map_err(refused(ACTION))?;
                (read::horizon(&**client).await.map_err(refused(ACTION))?, identity)
            }
        };
        let sessions = Sessions(self.database.options().clone());
        let source = PollSource::new(sessions, PollOptions::default(), position, Some(identity));
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

    /// What is committed has ended, and so have all that are older, once the oldest that runs is younger.
    fn covering(&self, _: u64) -> BoxFuture<'_, Result<Option<Position>, SourceError>> {
        const ACTION: &str = "asking how far transactions have come";
        Box::pin(async move {
            let client = self.database.get().await.map_err(refused(ACTION))?;
            read::behind_all_committed(&**client).await.map(Some).map_err(refused(ACTION))
        })
    }
}

/// A connection of its own: one out of the pool would be kept from the others for good.
struct Sessions(ConnectOptions);

struct Connection(Session);

impl AsClient for Connection {
    fn client(&self) -> &tokio_postgres::Client {
        &self.0
    }
}

impl Connections for Sessions {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn AsClient>, String>> {
        Box::pin(async move {
            let session = Session::open(&self.0).await.map_err(|error| error.to_string())?;
            let connection: Box<dyn AsClient> = Box::new(Connection(session));
            Ok(connection)
        })
    }
}
