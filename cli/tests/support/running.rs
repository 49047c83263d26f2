//! The pipeline inside the test process: writer and reader behind HTTP, replication slot, durable queue, projector.

use super::api_server::ApiServer;
use super::source::Slot;
use super::{TIMEOUT, report};
use millstream_connectors::queue::local::{LocalQueue, LocalQueueOptions};
use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::{Position, PositionParseError};
use millstream_projector::{Deps, Projector, ProjectorHandle, ProjectorOptions, ProjectorStatus};
use millstream_schema::plan::Mapping;
use millstream_store::connect::{Client, Database};
use millstream_store::load::Caches;
use millstream_store::verify::{Report, VerifyOptions, verify};
use millstream_testkit::{World, wait_until};
use millstream_writer::WriterOptions;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Prefix of the slot name. Slot names are global in a cluster, so the database name is appended.
const SLOT: &str = "e2e";

/// A database with the components that work on it.
pub(crate) struct Running {
    pub(crate) world: &'static World,
    database: Database,
    caches: Arc<Caches>,
    queue_dir: TempDir,
    follower: Option<Follower>,
}

/// The projector and its queue.
struct Follower {
    projector: ProjectorHandle,
    queue: Arc<LocalQueue>,
}

impl Running {
    /// Wraps a provisioned database. The projector is not started.
    pub(crate) fn on(world: &'static World, database: Database) -> Self {
        let queue_dir = tempfile::tempdir().expect("a folder for the queue");
        Self { world, database, caches: Arc::new(Caches::default()), queue_dir, follower: None }
    }

    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        &self.world.mapping
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) async fn client(&self) -> Client {
        self.database.get().await.expect("a connection")
    }

    /// Returns the single value of a query.
    pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        let client = self.client().await;
        client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// Starts an API server for this database. Several servers with different options may run.
    pub(crate) async fn serve(&self, options: WriterOptions) -> ApiServer {
        ApiServer::start(&self.database, &self.world.mapping, &self.caches, options).await
    }

    /// Starts the projector, or restarts it on the same queue.
    pub(crate) async fn follow(&mut self) {
        assert!(self.follower.is_none(), "the projector is already running");
        let queue = LocalQueue::open(self.queue_dir.path().join("queue"), LocalQueueOptions::default()).await;
        let queue = Arc::new(queue.expect("the queue opens"));
        let deps = Deps {
            database: self.database.clone(),
            mapping: Arc::clone(&self.world.mapping),
            caches: Arc::clone(&self.caches),
            memory: MemoryBudget::default(),
            queue: Arc::clone(&queue) as Arc<dyn WorkQueue>,
            source: Arc::new(Slot::named(&self.slot(), self.database.options())),
            clock: Arc::new(SystemClock),
            options: ProjectorOptions::default(),
        };
        self.follower = Some(Follower { projector: Projector::start(deps), queue });
    }

    fn slot(&self) -> String {
        format!("{SLOT}_{}", self.database.options().dbname())
    }

    /// Stops the projector. Unfinished work stays in the queue on disk.
    pub(crate) async fn unfollow(&mut self) {
        let Some(Follower { projector, queue }) = self.follower.take() else { return };
        projector.stop(TIMEOUT).await.expect("the projector stops");
        queue.close().await.expect("the queue closes");
    }

    /// Stops the projector and drops the slot, so that the database can be copied.
    pub(crate) async fn retire(mut self) {
        self.unfollow().await;
        let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1";
        self.client().await.execute(sql, &[&self.slot()]).await.expect("the slot can be dropped");
    }

    /// Returns the status of the projector.
    pub(crate) async fn status(&self) -> ProjectorStatus {
        let follower = self.follower.as_ref().expect("the projector is running");
        follower.projector.status().await.expect("a status")
    }

    /// Waits until everything committed before this call, including the stamps of its cascades, has been delivered by the
    /// slot, taken out of the queue and settled. Does not check the contents of the cache.
    pub(crate) async fn settle(&self) -> Duration {
        let started = Instant::now();
        let epoch = self.follower.as_ref().expect("the projector is running").queue.epoch();
        // Until then a comparison of all documents with the cache is pending.
        let followed = format!(r#"SELECT EXISTS (SELECT FROM "dms"."ProjectionProgress" WHERE "Epoch" = '{epoch}')"#);
        wait_until("the stream position to be stored", TIMEOUT, || self.value(&followed)).await;
        // The stamps of a cascade are changes too: set the mark only when no cascade is open.
        wait_until("all queues to be empty", TIMEOUT, || self.is_quiet(Position::ZERO)).await;
        // This transaction is flushed when the call returns, and everything before it too.
        let sql = "SELECT pg_logical_emit_message(true, 'millstream test', '')::text";
        let mark: Result<Position, PositionParseError> = self.value::<String>(sql).await.parse();
        let mark = mark.expect("an LSN");
        wait_until("the pipeline to become idle", TIMEOUT, || self.is_quiet(mark)).await;
        started.elapsed()
    }

    /// Returns whether everything up to `mark` is consumed and no work is pending.
    async fn is_quiet(&self, mark: Position) -> bool {
        let status = self.status().await;
        assert_eq!(status.fatal, None, "{status:#?}");
        assert_eq!((status.queue.quarantined, status.rebuild.alarms), (0, 0), "{status:#?}");
        let durable: Position = status.source.durable.parse().expect("a position");
        durable >= mark && status.queue.depth == 0 && status.cascade.open == 0 && !status.resync.running
    }

    /// Recomputes identities, edges and bodies from the rows; fails unless all agree and the cache is complete.
    pub(crate) async fn verify(&self) -> Report {
        let started = Instant::now();
        let report = verify(&self.database, &self.world.mapping, &VerifyOptions::default(), &mut |_| {}).await;
        let report = report.expect("verified");
        report!("verified {} documents, {} rows in {:.1?}", report.documents, report.rows, started.elapsed());
        assert!(
            report.is_clean(),
            "behind: {}\n{:#?}\n{:#?}",
            report.behind,
            report.behind_examples,
            report.differences
        );
        report
    }
}
