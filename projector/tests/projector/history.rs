//! A new history of the database: what belongs to an earlier one is neither waited for nor trusted, and every copy is made
//! equal to the tables.

use super::delivery::{District, held};
use super::sink_manager::{Maps, manager};
use super::support::{Bed, DEADLINE, HandSource};
use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_outbox::progress::{Origin, Progress, store_in_term};
use millstream_outbox::relay::{next_epoch, wait_for_lease};
use millstream_pipeline::Backoff;
use millstream_pipeline::Position;
use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::queue::{Work, WorkQueue};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Sink};
use millstream_pipeline::source::{SourceError, Stream};
use millstream_projector::proof::prove;
use millstream_projector::reconcile::{ReconcileDeps, is_reconciled, reconcile};
use millstream_projector::sink_manager::backfill;
use millstream_projector::{Opened, Projector, SourceFactory, Start};
use millstream_store::connect::Session;
use millstream_store::table::history;
use millstream_testkit::{Holder, wait_until};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The name under which a projector stores its progress.
const CONSUMER: &str = "projector";

const HISTORY_SQL: &str = r#"SELECT "History" FROM "dms"."EffectiveSchema""#;

fn fast() -> Backoff {
    Backoff { base: Duration::from_millis(1), ceiling: Duration::from_millis(5) }
}

/// An entry of a history in which version and transaction were much larger.
fn lost_work(document_id: i64, document_uuid: Uuid) -> Work {
    Work { xid: 1 << 40, rebuild: true, ..Work::of_row(document_id, document_uuid, 1, 1 << 40, false, 0) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_behind_the_stream_begins_a_history_and_voids_older_work() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    let mut deps = bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone()));
    deps.options.source_backoff = fast();
    let projector = Projector::start(deps);
    let known = bed.post_student(1, "Ada").await;
    source.send(bed.changes(known.uuid).await);
    bed.wait_cached(known.uuid, known.version).await;
    bed.wait_followed(&*queue).await;

    let id: i64 = bed.value(r#"SELECT "DocumentId" FROM "dms"."Document" LIMIT 1"#).await;
    let lost = vec![lost_work(id, known.uuid), lost_work(1 << 40, Uuid::from_u128(9))];
    let before: i64 = bed.value(HISTORY_SQL).await;
    queue.put(lost, None).await.expect("it is enqueued");
    wait_until("work of the lost history to be waited for", DEADLINE, || async {
        projector.status().await.expect("a status").rebuild.held > 0
    })
    .await;
    let behind = || SourceError::Behind { stored: Position::before(80), server: Position::before(30) };
    source.fail(behind());
    wait_until("a new history", DEADLINE, || async { bed.value::<i64>(HISTORY_SQL).await > before }).await;
    wait_until("the queue to be empty", DEADLINE, || async { queue.stats().await.expect("counters").depth == 0 }).await;
    bed.wait_followed(&*queue).await;

    let added = bed.post_student(2, "Bea").await;
    assert!(added.version > known.version + 1_000_000, "a version of the lost history was given out again");
    source.send(bed.changes(added.uuid).await);
    bed.wait_cached(added.uuid, added.version).await;
    assert_eq!(source.starts().last(), Some(&Start::Fresh));
    let stored: i64 = bed.value(r#"SELECT "History" FROM "dms"."ProjectionProgress" WHERE "Epoch" IS NOT NULL"#).await;
    assert_eq!(stored, bed.value::<i64>(HISTORY_SQL).await);
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// A relay that lost its lease during a comparison must not store that nothing is pending over its successor's row.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_outlives_its_lease_stores_nothing() {
    let bed = Bed::new().await;
    let student = bed.post_student(1, "Ada").await;
    // The walk waits for this transaction.
    let edit =
        format!(r#"UPDATE "dms"."Document" SET "LastModifiedAt" = now() WHERE "DocumentUuid" = '{}'"#, student.uuid);
    let running = Holder::hold(&bed.database, &edit).await;
    let mut deps = bed.deps(bed.queue(), Arc::new(HandSource::default()));
    deps.options.source_backoff = fast();
    let queue = Arc::clone(&deps.queue);
    let projector = Projector::start(deps);
    wait_until("the comparison to begin", DEADLINE, || async {
        projector.status().await.expect("a status").resync.running
    })
    .await;

    // Another relay takes over and has its own comparison pending.
    let successor = Session::open(bed.db().options()).await.expect("a session");
    let waiting = wait_for_lease(&*successor, CONSUMER);
    let end = r#"SELECT count(pg_terminate_backend(pid)) FROM pg_locks
                 WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"#;
    let ended = async { bed.value::<i64>(end).await };
    let (leased, ended) = tokio::join!(waiting, ended);
    leased.expect("the lease");
    assert_eq!(ended, 1, "one session held the lease");
    let epoch = next_epoch(&*successor, CONSUMER).await.expect("an epoch");
    let here = Origin::read(&*successor, Uuid::nil(), Stream::slot("hand")).await.expect("an origin");
    let pending = Progress { position: Position::ZERO, watermark: None, origin: here };
    store_in_term(&*successor, &epoch, &pending).await.expect("it is stored");

    running.commit().await;
    wait_until("the comparison to end", DEADLINE, || async {
        let status = projector.status().await.expect("a status");
        !status.resync.running && status.source.last_error.is_some_and(|error| error.contains("stands by"))
    })
    .await;
    assert_eq!(bed.stored_epoch().await, Some(Uuid::nil()), "the successor's comparison is still pending");
    let term: i64 = bed.value(r#"SELECT "Term" FROM "dms"."ProjectionProgress""#).await;
    assert_eq!(term, epoch.number());

    // With the lease it compares again, and then it may say so.
    drop(successor);
    bed.wait_followed(&*queue).await;
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// A source that is always caught up: the test waits for the cache itself.
struct CaughtUp;

impl SourceFactory for CaughtUp {
    fn stream(&self) -> Stream {
        Stream::poll()
    }

    fn covering(&self, _: u64) -> BoxFuture<'_, Result<Option<Position>, SourceError>> {
        Box::pin(async { Ok(Some(Position::ZERO)) })
    }

    fn open(&self, _: Start) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(async { Err(SourceError::Stopped) })
    }
}

/// After a restore a sink holds documents, versions and deletes that the database never had.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_of_a_lost_history_becomes_equal_to_the_tables() {
    let district = District::new().await;
    let room = district.bed.homeroom(6).await;
    let maps = Maps::of(&["search"]);
    let manager = manager(&district, &maps).await;
    manager.add("search", Some(backfill(None))).await.expect("it is added");
    let sink = maps.get("search");
    district.wait_equal(&*sink).await;
    let deps = ReconcileDeps {
        database: district.bed.db().clone(),
        memory: millstream_pipeline::memory::MemoryBudget::default(),
        source: Arc::new(CaughtUp),
        queue: Arc::<millstream_pipeline::queue::MemoryQueue>::clone(&district.queue),
        clock: Arc::new(SystemClock),
    };
    let (lane, _) = manager.get("search").await.expect("a lane");
    assert!(is_reconciled(&deps.database, "search").await.expect("an answer"), "there was no other history");

    let versions = held(&*sink).await;
    let [newer, deleted, altered] = [room.enrolments[0], room.enrolments[1], room.enrolments[2]];
    let extra = Uuid::from_u128(0xE);
    let key = |uuid| DocumentKey { uuid, resource_key: 1 };
    let lost = |uuid: Uuid, version: i64| {
        let json = format!(r#"{{"id":"{uuid}","_etag":"{version}","lost":true}}"#);
        Delivery { key: key(uuid), version, content: Content::Document(Bytes::from(json)), repair: true }
    };
    let far = 5_000_000;
    let gone = Delivery { content: Content::Deleted, ..lost(deleted, far) };
    sink.put(&[lost(newer, far), lost(altered, versions[&altered]), lost(extra, far), gone]).await;

    let client = Session::open(deps.database.options()).await.expect("a session");
    assert!(history::begin(&*client, 0, 0, 0, 0).await.expect("it begins"));
    assert!(!history::begin(&*client, 0, 0, 0, 0).await.expect("an answer"), "two processes begin one history");
    assert!(!is_reconciled(&deps.database, "search").await.expect("an answer"));
    let reconciled = reconcile(&deps, "search", &*lane, &*sink);
    let reconciled = tokio::time::timeout(DEADLINE, reconciled).await.expect("in time").expect("a comparison");
    assert!(reconciled && is_reconciled(&deps.database, "search").await.expect("an answer"));
    let report = prove(&deps.database, &deps.memory, &*sink, &SystemClock, &mut |_| {}).await.expect("a report");
    assert_eq!(report.differences(), 0, "{report:#?}");
    for uuid in [newer, deleted, altered] {
        assert!(district.bed.version(uuid).await > far, "{uuid}: a reader that compares versions would not take it");
    }
    assert_eq!(district.bed.version(room.enrolments[3]).await, versions[&room.enrolments[3]], "the others stay");
    assert!(!held(&*sink).await.contains_key(&extra));
    manager.stop(DEADLINE).await.expect("it stops");
}
