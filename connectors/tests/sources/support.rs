//! A provisioned database with a source of either kind.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use millstream_connectors::source::poll::{PollOptions, PollSource};
use millstream_connectors::source::slot::{LogicalOptions, LogicalSource, ensure_slot};
use millstream_outbox::retention::ensure_polling_index;
use millstream_pipeline::Position;
use millstream_pipeline::source::ChangeSource;
use millstream_store::connect::{ConnectOptions, Session};
use millstream_testkit::{TestDatabase, World};
use tokio_postgres::Client;

pub(crate) use crate::source_suite::{Consumer, Order, PATIENCE, SourceBed, commit};

/// The kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Logical,
    Poll,
}

/// A database with a source of one kind.
pub(crate) struct Bed {
    pub(crate) kind: Kind,
    pub(crate) database: TestDatabase,
    pub(crate) writer: Session,
    pub(crate) batch_max: usize,
    /// Position of a source that has read nothing.
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

    /// Options of the replication source with short intervals.
    pub(crate) fn logical_options(&self) -> LogicalOptions {
        let slot = format!("slot_{}", self.database.options().dbname());
        let options = logical_options(self.database.options(), &slot);
        LogicalOptions { batch_max: self.batch_max, ..options }
    }

    /// Commits the changes of these documents in one transaction.
    pub(crate) async fn commit(&mut self, documents: impl IntoIterator<Item = i64>) {
        commit(self.writer.client_mut(), documents).await;
    }
}

impl SourceBed for Bed {
    fn order(&self) -> Order {
        match self.kind {
            Kind::Logical => Order::Commits,
            Kind::Poll => Order::Transactions,
        }
    }

    fn database(&self) -> &TestDatabase {
        &self.database
    }

    fn writer(&mut self) -> &mut Client {
        self.writer.client_mut()
    }

    fn origin(&self) -> Position {
        self.origin
    }

    fn set_batch_max(&mut self, batch_max: usize) {
        self.batch_max = batch_max;
    }

    fn start(&self, stored: Position) -> Box<dyn ChangeSource> {
        match self.kind {
            Kind::Logical => Box::new(LogicalSource::start(self.logical_options(), stored, None).expect("a source")),
            Kind::Poll => {
                let options = PollOptions {
                    interval: Duration::from_millis(10),
                    idle_interval: Duration::from_millis(50),
                    batch_max: self.batch_max,
                };
                Box::new(PollSource::new(self.database.options().clone(), options, stored, None))
            }
        }
    }

    /// Writes to a table outside the outbox.
    fn move_on(&mut self) -> BoxFuture<'_, Position> {
        let now = match self.kind {
            Kind::Logical => "SELECT pg_current_wal_insert_lsn()::text || ':0'",
            Kind::Poll => "SELECT '0/' || to_hex(pg_current_xact_id()::text::int8) || ':0'",
        };
        async move {
            let written =
                "CREATE TABLE IF NOT EXISTS public.neighbour (n int); INSERT INTO public.neighbour VALUES (1)";
            self.writer.batch_execute(written).await.expect("written");
            let now: String = self.writer.query_one(now, &[]).await.expect("a position").get(0);
            now.parse().expect("a position")
        }
        .boxed()
    }
}

pub(crate) fn logical_options(options: &ConnectOptions, slot: &str) -> LogicalOptions {
    LogicalOptions {
        status_interval: Duration::from_millis(100),
        idle_interval: Duration::from_millis(50),
        heartbeat_interval: None,
        ..LogicalOptions::new(options, slot)
    }
}
