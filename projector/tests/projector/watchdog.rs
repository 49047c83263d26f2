//! The watchdog finds planted damage of every kind, takes pending work for none, records it, and has it repaired.

use super::delivery::District;
use super::sink_manager::{Maps, manager};
use super::support::{DEADLINE, PolledSource};
use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_pipeline::Position;
use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::{MemoryQueue, Work, WorkQueue};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, MemorySink, Sink};
use millstream_projector::sink_manager::{SinkManager, backfill};
use millstream_projector::watchdog::{
    IncidentLog, OnMismatch, RepairDocuments, Watchdog, WatchdogDeps, WatchdogOptions, WatchedSink,
};
use millstream_store::connect::Database;
use millstream_store::load::heads_by_uuid;
use millstream_testkit::wait_until;
use millstream_writer::{Repairer, WriterOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// The repair as the process does it: derived rows, then the bodies through the queue.
struct Repairs {
    repairer: Repairer,
    database: Database,
    queue: Arc<MemoryQueue>,
}

impl RepairDocuments for Repairs {
    fn repair<'a>(
        &'a self,
        documents: &'a [Uuid],
    ) -> BoxFuture<'a, Result<(), Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async move {
            self.repairer.repair(documents).await?;
            let client = self.database.get().await?;
            let work = heads_by_uuid(&client, documents).await?.into_iter().map(|head| Work {
                repair: true,
                ..Work::of_row(head.document_id, head.uuid, head.key, head.content_version, false, 1)
            });
            self.queue.put(work.collect(), None).await?;
            Ok(())
        })
    }
}

/// A district with a sink and a watchdog.
struct Watched {
    district: District,
    manager: SinkManager,
    sink: Arc<MemorySink>,
    log: Arc<IncidentLog>,
    open: Arc<AtomicU64>,
    watchdog: Watchdog,
    student: Uuid,
    period: Uuid,
    deleted: (Uuid, i64),
    _folder: tempfile::TempDir,
}

impl Watched {
    async fn new(on_mismatch: OnMismatch) -> Self {
        let district = District::new().await;
        let room = district.bed.homeroom(2).await;
        let student = district.bed.post_student(7, "Ada").await.uuid;
        let gone = district.bed.post_student(8, "Grace").await.uuid;
        let maps = Maps::of(&["search"]);
        let manager = manager(&district, &maps).await;
        manager.add("search", Some(backfill(None))).await.expect("it is added");
        let sink = maps.get("search");
        district.wait_equal(&*sink).await;
        let deleted = district.bed.delete("students", gone).await;
        district.wait_equal(&*sink).await;
        // Polled positions are not log positions: this one is beyond all of them.
        district.queue.put(Vec::new(), Some(Position::before(u64::MAX))).await.expect("a position is stored");
        let folder = tempfile::tempdir().expect("a folder");
        let log = Arc::new(IncidentLog::open(folder.path()).expect("a record"));
        let open = Arc::<AtomicU64>::default();
        let database = district.bed.db().clone();
        let mapping = Arc::clone(&district.bed.world.mapping);
        let repairer = Repairer::new(database.clone(), Arc::clone(&mapping), WriterOptions::default());
        let repairer = Repairs { repairer, database: database.clone(), queue: Arc::clone(&district.queue) };
        let deps = WatchdogDeps {
            source: PolledSource::factory(&database),
            database,
            memory: MemoryBudget::default(),
            mapping,
            queue: Arc::<MemoryQueue>::clone(&district.queue),
            clock: Arc::new(SystemClock),
            log: Arc::clone(&log),
            repairer: Arc::new(repairer),
            options: WatchdogOptions {
                on_mismatch,
                batch: 100,
                recheck: Duration::ZERO,
                catch_up: Duration::from_secs(2),
                ..WatchdogOptions::default()
            },
        };
        let watchdog = Watchdog::new(deps, Arc::clone(&open)).await.expect("a watchdog");
        let (period, deleted) = (room.period, (gone, deleted.version));
        Self { district, manager, sink, log, open, watchdog, student, period, deleted, _folder: folder }
    }

    /// One pass over all documents.
    async fn pass(&mut self) -> usize {
        let (queue, sink) = self.manager.get("search").await.expect("a lane");
        let sinks = [WatchedSink { lane: "search".to_owned(), queue, sink: sink.expect("a sink") }];
        let mut confirmed = 0;
        // It begins at a random document: from there to the end, then all, then the end.
        for _ in 0..3 {
            confirmed += self.watchdog.round(&sinks).await.confirmed;
        }
        confirmed
    }

    async fn damage(&self, sql: &str, document: Uuid) {
        let sql = sql.replace(
            "{of}",
            &format!(r#"(SELECT "DocumentId" FROM "dms"."Document" WHERE "DocumentUuid" = '{document}')"#),
        );
        self.district.bed.execute(&format!("BEGIN; SET LOCAL session_replication_role = replica; {sql}; COMMIT")).await;
    }

    /// Overwrites the student's copy in the sink.
    async fn put(&self, uuid: Uuid, version: i64, content: Content) {
        let key = DocumentKey { uuid, resource_key: 1 };
        self.sink.put(&[Delivery { key, version, content, repair: true }]).await;
    }

    async fn settled(&self) {
        self.district.wait_equal(&*self.sink).await;
        let queue = &self.district.queue;
        wait_until("the queue to be empty", DEADLINE, || async { queue.stats().await.expect("counters").depth == 0 })
            .await;
        let (lane, _) = self.manager.get("search").await.expect("a lane");
        wait_until("the lane to be empty", DEADLINE, || async { lane.stats().await.expect("counters").depth == 0 })
            .await;
    }
}

/// Damage of tables and cache: kind, whether the class period is damaged instead of a student, SQL.
const TABLES: [(&str, bool, &str); 12] = [
    ("edge missing", true, r#"DELETE FROM "dms"."ReferenceEdge" WHERE "ParentDocumentId" = {of}"#),
    ("edge unexpected", true, r#"INSERT INTO "dms"."ReferenceEdge" VALUES ({of}, 1000000, false)"#),
    (
        "edge flag",
        true,
        r#"UPDATE "dms"."ReferenceEdge" SET "IsIdentityComponent" = NOT "IsIdentityComponent" WHERE "ParentDocumentId" = {of}"#,
    ),
    (
        "referential id",
        false,
        r#"UPDATE "dms"."ReferentialIdentity" SET "ReferentialId" = gen_random_uuid() WHERE "DocumentId" = {of}"#,
    ),
    (
        "identity values",
        true,
        r#"UPDATE "dms"."ReferentialIdentity" SET "IdentityValues" = '{stale,1}' WHERE "DocumentId" = {of}"#,
    ),
    ("identity missing", false, r#"DELETE FROM "dms"."ReferentialIdentity" WHERE "DocumentId" = {of}"#),
    ("identity lock missing", true, r#"DELETE FROM "dms"."IdentityLock" WHERE "DocumentId" = {of}"#),
    ("cache behind", false, r#"UPDATE "dms"."DocumentCache" SET "ContentVersion" = 0 WHERE "DocumentId" = {of}"#),
    ("cache behind", false, r#"DELETE FROM "dms"."DocumentCache" WHERE "DocumentId" = {of}"#),
    (
        "cache ahead of the document",
        false,
        r#"UPDATE "dms"."DocumentCache" SET "ContentVersion" = "ContentVersion" + 1 WHERE "DocumentId" = {of}"#,
    ),
    ("cached body", false, r#"UPDATE "dms"."DocumentCache" SET "Body" = '{"damaged":true}' WHERE "DocumentId" = {of}"#),
    ("cached body hash", false, r#"UPDATE "dms"."DocumentCache" SET "BodyHash" = '\x01' WHERE "DocumentId" = {of}"#),
];

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_every_kind_is_found_and_repaired() {
    let mut watched = Watched::new(OnMismatch::Repair).await;
    assert_eq!(watched.pass().await, 0, "nothing is wrong yet: {:?}", watched.log.all());
    for (kind, of_period, sql) in TABLES {
        let document = if of_period { watched.period } else { watched.student };
        let before = watched.log.all().len();
        watched.damage(sql, document).await;
        watched.pass().await;
        let recorded = watched.log.all().split_off(before);
        let found = recorded.iter().find(|incident| incident.document == document && incident.kind == kind);
        let found = found.unwrap_or_else(|| panic!("{kind}: not recorded: {recorded:#?}"));
        assert!(!found.causes.is_empty() && found.action == "repair", "{found:?}");
        watched.settled().await;
        assert_eq!(watched.pass().await, 0, "{kind}: nothing is left: {:#?}", watched.log.all().split_off(before));
        assert!(watched.log.all().iter().all(|incident| incident.mended_at_ms.is_some()), "{kind}: mended");
        watched.district.bed.verify().await;
    }
    assert_eq!(watched.open.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_copies_in_a_sink_are_found_and_repaired() {
    let mut watched = Watched::new(OnMismatch::Repair).await;
    let student = watched.student;
    let version = watched.district.bed.version(student).await;
    let json = |etag: i64| Content::Document(Bytes::from(format!(r#"{{"id":"{student}","_etag":"{etag}"}}"#)));
    let (gone, gone_at) = watched.deleted;
    let damages = [
        ("sink missing", student, version, Content::Deleted),
        ("sink stale", student, version, json(version - 1)),
        ("sink altered", student, version, json(version)),
        (
            "sink undeleted",
            gone,
            gone_at,
            Content::Document(Bytes::from(format!(r#"{{"id":"{gone}","_etag":"{gone_at}"}}"#))),
        ),
    ];
    for (kind, document, version, content) in damages {
        let before = watched.log.all().len();
        watched.put(document, version, content).await;
        watched.pass().await;
        let recorded = watched.log.all().split_off(before);
        assert!(recorded.iter().any(|of| of.document == document && of.kind == kind), "{kind}: {recorded:#?}");
        watched.settled().await;
        assert_eq!(watched.pass().await, 0, "{kind}: nothing is left");
        assert!(watched.log.all().iter().all(|incident| incident.mended_at_ms.is_some()), "{kind}: mended");
    }
}

/// A sink that is not looked at, because its lane is paused, mends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_mismatch_of_a_sink_that_is_not_watched_stays_open() {
    let mut watched = Watched::new(OnMismatch::Alert).await;
    let version = watched.district.bed.version(watched.student).await;
    watched.put(watched.student, version, Content::Deleted).await;
    watched.pass().await;
    assert_eq!(watched.open.load(Ordering::Relaxed), 1);
    for _ in 0..3 {
        watched.watchdog.round(&[]).await;
    }
    assert_eq!(watched.open.load(Ordering::Relaxed), 1, "the sink was not looked at");
    assert!(watched.log.all().iter().all(|incident| incident.mended_at_ms.is_none()));
}

/// Pending work is not a mismatch, and without a reaction a mismatch is recorded once and stays open.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_recorded_once_and_changes_nothing() {
    let mut watched = Watched::new(OnMismatch::Alert).await;
    watched.damage(r#"DELETE FROM "dms"."IdentityLock" WHERE "DocumentId" = {of}"#, watched.period).await;
    for _ in 0..3 {
        watched.pass().await;
    }
    let recorded = watched.log.all();
    assert_eq!(recorded.len(), 1, "{recorded:#?}");
    assert_eq!((recorded[0].kind.as_str(), recorded[0].mended_at_ms), ("identity lock missing", None));
    assert_eq!(watched.open.load(Ordering::Relaxed), 1);
    watched.district.bed.execute(r#"INSERT INTO "dms"."IdentityLock" SELECT "DocumentId" FROM "dms"."Document" d JOIN "dms"."ResourceKey" k USING ("ResourceKeyId") WHERE k."ResourceName" = 'ClassPeriod' ON CONFLICT DO NOTHING"#).await;
    watched.pass().await;
    assert_eq!(watched.open.load(Ordering::Relaxed), 0, "mended by another hand");
    assert!(watched.log.all()[0].mended_at_ms.is_some());
}
