//! The whole line in this process: writer and reader behind HTTP, replication slot, durable queue, projector.

use super::door::Door;
use super::source::Slot;
use super::{PATIENCE, say};
use millstream_connectors::queue::local::{LocalQueue, LocalQueueOptions};
use millstream_pipeline::clock::SystemClock;
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

/// Name of the replication slot; slots are named in a whole cluster, so the database's name is added.
const SLOT: &str = "e2e";

/// A database with everything that works on it.
pub(crate) struct Running {
    pub(crate) world: &'static World,
    database: Database,
    caches: Arc<Caches>,
    queue_dir: TempDir,
    follower: Option<Follower>,
}

/// What follows the changes.
struct Follower {
    projector: ProjectorHandle,
    queue: Arc<LocalQueue>,
}

impl Running {
    /// On a provisioned database. Nobody follows yet.
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

    /// The one value that `sql` answers with.
    pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        let client = self.client().await;
        client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// A server for this database. There may be several, with different options.
    pub(crate) async fn door(&self, options: WriterOptions) -> Door {
        Door::open(&self.database, &self.world.mapping, &self.caches, options).await
    }

    /// Begins, or goes on, to follow the changes.
    pub(crate) async fn follow(&mut self) {
        assert!(self.follower.is_none(), "somebody follows already");
        let queue = LocalQueue::open(self.queue_dir.path().join("queue"), LocalQueueOptions::default()).await;
        let queue = Arc::new(queue.expect("the queue opens"));
        let deps = Deps {
            database: self.database.clone(),
            mapping: Arc::clone(&self.world.mapping),
            caches: Arc::clone(&self.caches),
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

    /// Stops following, in order. What is not done yet waits on disk.
    pub(crate) async fn unfollow(&mut self) {
        let Some(Follower { projector, queue }) = self.follower.take() else { return };
        projector.stop(PATIENCE).await.expect("the projector stops");
        queue.close().await.expect("the queue closes");
    }

    /// Ends everything and drops the slot, so that the database can be copied.
    pub(crate) async fn retire(mut self) {
        self.unfollow().await;
        let sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1";
        self.client().await.execute(sql, &[&self.slot()]).await.expect("the slot can be dropped");
    }

    /// How the projector is doing.
    pub(crate) async fn status(&self) -> ProjectorStatus {
        let follower = self.follower.as_ref().expect("somebody follows");
        follower.projector.status().await.expect("a status")
    }

    /// Waits until everything that was committed before this call has been handed out by the slot, taken out of the
    /// queue and settled, and everything that its cascades did as well. Says nothing about whether the cache is right.
    pub(crate) async fn settle(&self) -> Duration {
        let started = Instant::now();
        let epoch = self.follower.as_ref().expect("somebody follows").queue.epoch();
        // Until then a comparison of all documents with the cache is owed.
        let followed = format!(r#"SELECT EXISTS (SELECT FROM "dms"."ProjectionProgress" WHERE "Epoch" = '{epoch}')"#);
        wait_until("the stream to be relied on", PATIENCE, || self.value(&followed)).await;
        // A cascade's stamps are changes of their own: the mark has to be set when no cascade is open any more.
        wait_until("nothing to wait", PATIENCE, || self.is_quiet(Position::ZERO)).await;
        // A transaction of its own that is flushed when this returns: everything before it is, too.
        let sql = "SELECT pg_logical_emit_message(true, 'millstream test', '')::text";
        let mark: Result<Position, PositionParseError> = self.value::<String>(sql).await.parse();
        let mark = mark.expect("an LSN");
        wait_until("the line to come to rest", PATIENCE, || self.is_quiet(mark)).await;
        started.elapsed()
    }

    /// Everything up to `mark` is taken in, and nothing waits.
    async fn is_quiet(&self, mark: Position) -> bool {
        let status = self.status().await;
        assert_eq!(status.fatal, None, "{status:#?}");
        assert_eq!((status.queue.quarantined, status.rebuild.alarms), (0, 0), "{status:#?}");
        let durable: Position = status.source.durable.parse().expect("a position");
        durable >= mark && status.queue.depth == 0 && status.cascade.open == 0 && !status.resync.running
    }

    /// Recomputes identities, edges and bodies from the rows; fails unless all of them agree and nothing is behind.
    pub(crate) async fn verify(&self) -> Report {
        let started = Instant::now();
        let report = verify(&self.database, &self.world.mapping, &VerifyOptions::default(), &mut |_| {}).await;
        let report = report.expect("verified");
        say!("verified {} documents, {} rows in {:.1?}", report.documents, report.rows, started.elapsed());
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
