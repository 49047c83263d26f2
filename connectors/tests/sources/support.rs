//! A provisioned database, changes in it, a source of either kind on it, and a consumer with a deadline.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use millstream_connectors::logical::{LogicalOptions, LogicalSource, ensure_slot};
use millstream_connectors::poll::{AsClient, Connections, PollOptions, PollSource};
use millstream_outbox::retention::ensure_polling_index;
use millstream_outbox::source::{ChangeSource, SourceError, SourceEvent};
use millstream_outbox::{Change, ChangeKind, NewChange, Position, append};
use millstream_store::connect::{ConnectOptions, Session};
use millstream_testkit::{TestDatabase, World};
use tokio_postgres::Client;
use uuid::Uuid;

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Which source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Logical,
    Poll,
}

/// A database and a source of one kind on it.
pub(crate) struct Bed {
    pub(crate) kind: Kind,
    pub(crate) database: TestDatabase,
    pub(crate) writer: Session,
    pub(crate) batch_max: usize,
    /// Where the source begins that has seen nothing.
    pub(crate) origin: Position,
}

impl Bed {
    pub(crate) async fn new(kind: Kind) -> Self {
        Self::on(kind, World::fixtures().database().await).await
    }

    pub(crate) async fn on(kind: Kind, database: TestDatabase) -> Self {
        let writer = database.session().await;
        let mut bed = Self { kind, database, writer, batch_max: 1_000, origin: Position::ZERO };
        match kind {
            Kind::Logical => {
                let slot = ensure_slot(&bed.logical_options()).await.expect("a slot");
                assert!(slot.created);
                bed.origin = slot.position;
            }
            Kind::Poll => ensure_polling_index(&*bed.writer).await.expect("an index"),
        }
        bed
    }

    /// Options of the replication source, with intervals short enough for a test.
    pub(crate) fn logical_options(&self) -> LogicalOptions {
        let slot = format!("slot_{}", self.database.options().dbname());
        let options = logical_options(self.database.options(), &slot);
        LogicalOptions { batch_max: self.batch_max, ..options }
    }

    pub(crate) fn start(&self, stored: Position) -> Box<dyn ChangeSource> {
        match self.kind {
            Kind::Logical => Box::new(LogicalSource::start(self.logical_options(), stored, None).expect("a source")),
            Kind::Poll => {
                let options = PollOptions {
                    interval: Duration::from_millis(10),
                    idle_interval: Duration::from_millis(50),
                    batch_max: self.batch_max,
                };
                let connections = Sessions(self.database.options().clone());
                Box::new(PollSource::new(connections, options, stored, None))
            }
        }
    }

    /// Commits these documents' changes in one transaction.
    pub(crate) async fn commit(&mut self, documents: impl IntoIterator<Item = i64>) {
        commit(self.writer.client_mut(), documents).await;
    }
}

pub(crate) fn logical_options(options: &ConnectOptions, slot: &str) -> LogicalOptions {
    let password = options.password().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let host = options.host().to_string();
    let options = LogicalOptions::new(host, options.port(), options.user(), password, options.dbname(), slot);
    LogicalOptions {
        status_interval: Duration::from_millis(100),
        idle_interval: Duration::from_millis(50),
        heartbeat_interval: None,
        ..options
    }
}

pub(crate) async fn commit(client: &mut Client, documents: impl IntoIterator<Item = i64>) {
    let transaction = client.transaction().await.expect("begin");
    append(&transaction, &changes(documents)).await.expect("append");
    transaction.commit().await.expect("commit");
}

pub(crate) fn changes(documents: impl IntoIterator<Item = i64>) -> Vec<NewChange> {
    let change = |document_id| NewChange {
        document_id,
        document_uuid: Uuid::from_u128(document_id as u128),
        resource_key: 3,
        kind: ChangeKind::ALL[document_id as usize % 4],
        content_version: 100 + document_id,
    };
    documents.into_iter().map(change).collect()
}

/// A connection for each request, as a pool without a pool.
pub(crate) struct Sessions(pub(crate) ConnectOptions);

struct Connection(Session);

impl AsClient for Connection {
    fn client(&self) -> &Client {
        &self.0
    }
}

impl Connections for Sessions {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn AsClient>, String>> {
        async move {
            let session = Session::open(&self.0).await.map_err(|error| error.to_string())?;
            let connection: Box<dyn AsClient> = Box::new(Connection(session));
            Ok(connection)
        }
        .boxed()
    }
}

/// Reads a source as its consumer would, and checks what every event has to keep.
pub(crate) struct Consumer {
    pub(crate) source: Box<dyn ChangeSource>,
    pub(crate) changes: Vec<Change>,
    pub(crate) position: Position,
    pub(crate) largest_batch: usize,
}

impl Consumer {
    pub(crate) fn new(source: Box<dyn ChangeSource>, stored: Position) -> Self {
        Self { source, changes: Vec::new(), position: stored, largest_batch: 0 }
    }

    /// The next event or error.
    pub(crate) async fn next(&mut self) -> Result<SourceEvent, SourceError> {
        let next = tokio::time::timeout(PATIENCE, self.source.next()).await;
        let event = next.unwrap_or_else(|_| panic!("nothing came: {:?}", self.source.status()))?;
        assert!(event.position() > self.position, "{event:?} does not come after {}", self.position);
        self.position = event.position();
        if let SourceEvent::Changes(batch) = &event {
            assert!(!batch.changes.is_empty());
            self.largest_batch = self.largest_batch.max(batch.changes.len());
            self.changes.extend(&batch.changes);
        }
        Ok(event)
    }

    /// Reads until there are `count` changes.
    pub(crate) async fn read(&mut self, count: usize) {
        while self.changes.len() < count {
            self.next().await.expect("an event");
        }
        assert_eq!(self.changes.len(), count, "more changes than there should be");
    }

    /// Reads, and confirms what was read, until `done` says so.
    pub(crate) async fn confirm_until(&mut self, mut done: impl FnMut(Position) -> bool) {
        loop {
            self.source.confirm(self.position);
            if done(self.position) {
                return;
            }
            self.next().await.expect("an event");
        }
    }

    /// The documents of the changes.
    pub(crate) fn documents(&self) -> Vec<i64> {
        self.changes.iter().map(|change| change.document_id).collect()
    }

    /// The error that somebody has to see to.
    pub(crate) async fn error(&mut self) -> SourceError {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }
}
