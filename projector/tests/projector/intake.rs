//! From the source into the queue: NO-LOSS, and the decision where to start.

use super::support::{Bed, DEADLINE, HandSource};
use futures::future::BoxFuture;
use millstream_pipeline::Backoff;
use millstream_pipeline::Position;
use millstream_pipeline::queue::{
    MemoryQueue, Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Work, WorkQueue,
};
use millstream_pipeline::source::{SourceError, Stream};
use millstream_projector::{Opened, Projector, SourceFactory, Start};
use millstream_testkit::{Holder, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// A queue whose `put` needs a permit for each call.
struct SlowQueue {
    inner: Arc<MemoryQueue>,
    permits: Semaphore,
    waiting: AtomicUsize,
}

impl WorkQueue for SlowQueue {
    fn put(&self, work: Vec<Work>, position: Option<Position>) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            self.permits.acquire().await.map_err(|_| QueueError::Closed)?.forget();
            self.inner.put(work, position).await
        })
    }
    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>> {
        self.inner.take(max)
    }
    fn settle(&self, settled: Vec<(Ticket, Settled)>) -> BoxFuture<'_, Result<SettleReport, QueueError>> {
        self.inner.settle(settled)
    }
    fn ready(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        self.inner.ready()
    }
    fn position(&self) -> BoxFuture<'_, Result<Option<Position>, QueueError>> {
        self.inner.position()
    }
    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>> {
        self.inner.reset_position(position)
    }
    fn epoch(&self) -> Uuid {
        self.inner.epoch()
    }
    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        self.inner.stats()
    }
    fn quarantined(&self, after: Option<i64>, max: usize) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>> {
        self.inner.quarantined(after, max)
    }
    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        self.inner.release(document_ids)
    }
    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        self.inner.discard(document_ids)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_loss_a_position_is_confirmed_only_when_its_work_is_durable() {
    let bed = Bed::new().await;
    let source = HandSource::default();
    let queue = Arc::new(SlowQueue { inner: bed.queue(), permits: Semaphore::new(0), waiting: AtomicUsize::new(0) });
    let slow: Arc<dyn WorkQueue> = Arc::clone(&queue) as Arc<dyn WorkQueue>;
    let projector = Projector::start(bed.deps(slow, Arc::new(source.clone())));
    // There is nothing to compare, so only the stream calls `put`.
    bed.wait_followed(&*queue).await;
    let student = bed.post_student(1, "Ada").await;
    let position = source.send(bed.changes(student.uuid).await);
    wait_until("the change to be taken in", DEADLINE, || async { queue.waiting.load(Ordering::Relaxed) == 1 }).await;
    assert_eq!(source.confirmed(), Position::ZERO, "nothing is durable yet");
    queue.permits.add_permits(1);
    wait_until("the position to be confirmed", DEADLINE, || async { source.confirmed() == position }).await;
    assert_eq!(queue.position().await.expect("a position"), Some(position));
    bed.wait_cached(student.uuid, student.version).await;
    queue.permits.add_permits(100);
    projector.stop(DEADLINE).await.expect("it stops in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_is_opened_again_where_it_stopped() {
    let bed = Bed::new().await;
    let source = HandSource::default();
    let mut deps = bed.deps(bed.queue(), Arc::new(source.clone()));
    deps.options.source_backoff = Backoff { base: Duration::from_millis(1), ceiling: Duration::from_millis(5) };
    let queue = Arc::clone(&deps.queue);
    let projector = Projector::start(deps);
    let first = bed.post_student(1, "Ada").await;
    let before = source.send(bed.changes(first.uuid).await);
    bed.wait_followed(&*queue).await;
    wait_until("the first change", DEADLINE, || async { source.confirmed() == before }).await;

    let refused = || SourceError::Refused { what: "connecting".to_owned(), detail: "made for a test".to_owned() };
    source.refuse(refused());
    source.fail(refused());
    let second = bed.post_student(2, "Ada").await;
    source.send(bed.changes(second.uuid).await);
    bed.wait_cached(second.uuid, second.version).await;

    let starts = source.starts();
    assert_eq!((starts.len(), &starts[0]), (3, &Start::Fresh), "{starts:?}");
    for start in &starts[1..] {
        assert!(matches!(start, Start::After { position, .. } if *position == before), "{start:?}");
    }
    let status = projector.status().await.expect("a status");
    assert_eq!((status.source.failures, status.fatal), (2, None));
    projector.stop(DEADLINE).await.expect("it stops in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_compares_all_documents_and_a_second_one_none() {
    let bed = Bed::new().await;
    bed.homeroom(10).await;
    let queue = bed.queue();
    let source = HandSource::default();
    let mut deps = bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone()));
    deps.options.resync_page = 4;
    let projector = Projector::start(deps.clone());
    bed.wait_converged().await;
    bed.wait_followed(&*queue).await;
    let documents: i64 = bed.value(r#"SELECT count(*) FROM "dms"."Document""#).await;
    let resync = projector.status().await.expect("a status").resync;
    assert_eq!((resync.running, resync.compared, resync.enqueued), (false, documents as u64, documents as u64));

    // The watermark moves once the source has passed it.
    source.idle(u64::from(u32::MAX) << 8);
    let watermark = r#"SELECT "WatermarkLsn" IS NOT NULL FROM "dms"."ProjectionProgress""#;
    wait_until("a watermark", DEADLINE, || bed.value(watermark)).await;
    projector.stop(DEADLINE).await.expect("it stops in time");

    let projector = Projector::start(deps.clone());
    wait_until("it to be opened again", DEADLINE, || async { source.starts().len() == 2 }).await;
    assert!(matches!(source.starts()[1], Start::After { .. }));
    projector.stop(DEADLINE).await.expect("it stops in time");

    // Another queue: the contents of the first are unknown, so all documents are compared.
    bed.execute(r#"DELETE FROM "dms"."DocumentCache" WHERE "DocumentId" % 3 = 0"#).await;
    let missing: i64 = bed.value(r#"SELECT count(*) FROM "dms"."Document" WHERE "DocumentId" % 3 = 0"#).await;
    deps.queue = bed.queue();
    let projector = Projector::start(deps);
    bed.wait_converged().await;
    assert_eq!(source.starts().get(2), Some(&Start::Fresh));
    let enqueued = projector.status().await.expect("a status").resync.enqueued;
    assert_eq!(enqueued, missing as u64, "only stale documents");
    projector.stop(DEADLINE).await.expect("it stops in time");
    bed.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_changes_are_found_by_comparison() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    let deps = bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone()));
    let projector = Projector::start(deps.clone());
    let known = bed.post_student(1, "Ada").await;
    source.send(bed.changes(known.uuid).await);
    bed.wait_cached(known.uuid, known.version).await;
    bed.wait_followed(&*queue).await;
    projector.stop(DEADLINE).await.expect("it stops in time");

    // While no process follows, documents change and the server removes the changes.
    let edited = bed.post_student(1, "Beatrix").await;
    let added = bed.post_student(2, "Ada").await;
    source.refuse(SourceError::Lost { what: "slot".to_owned(), detail: "made for a test".to_owned() });
    let projector = Projector::start(deps);
    bed.wait_cached(edited.uuid, edited.version).await;
    bed.wait_cached(added.uuid, added.version).await;
    let starts = source.starts();
    assert!(matches!(starts[1..], [Start::After { .. }, Start::Fresh]), "{starts:?}");
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// A transaction that runs when the stream starts is in neither the stream nor the walk, unless the walk waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_waits_for_what_was_running_when_the_stream_began() {
    let bed = Bed::new().await;
    let student = bed.post_student(1, "Ada").await;
    let edit = format!(
        r#"UPDATE "dms"."Document" SET "ContentVersion" = 900 WHERE "DocumentUuid" = '{}';
           UPDATE "meadow"."Student" SET "FirstName" = 'Beatrix'"#,
        student.uuid
    );
    let running = Holder::hold(&bed.database, &edit).await;
    let projector = Projector::start(bed.deps(bed.queue(), Arc::new(HandSource::default())));
    wait_until("the comparison to begin", DEADLINE, || async {
        projector.status().await.expect("a status").resync.running
    })
    .await;
    assert_eq!(bed.stored_epoch().await, Some(Uuid::nil()), "a crash now leaves the comparison pending");
    assert_eq!(projector.status().await.expect("a status").resync.compared, 0);
    running.commit().await;
    let body = bed.wait_cached(student.uuid, 900).await;
    assert_eq!(body["firstName"], "Beatrix");
    projector.stop(DEADLINE).await.expect("it stops in time");
}

/// A source that opens late, as a slot does while transactions are running.
struct LateSource {
    inner: HandSource,
    asked: Semaphore,
    may_open: Semaphore,
}

impl SourceFactory for LateSource {
    fn stream(&self) -> Stream {
        self.inner.stream()
    }

    fn open(&self, start: Start) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(async move {
            self.asked.add_permits(1);
            self.may_open.acquire().await.map_err(|_| SourceError::Stopped)?.forget();
            self.inner.open(start).await
        })
    }
}

/// Changes committed after a comparison and before the stream starts would be in neither.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_begins_only_when_the_source_is_open() {
    let bed = Bed::new().await;
    let source =
        Arc::new(LateSource { inner: HandSource::default(), asked: Semaphore::new(0), may_open: Semaphore::new(0) });
    let projector = Projector::start(bed.deps(bed.queue(), Arc::clone(&source) as Arc<dyn SourceFactory>));
    let asked = tokio::time::timeout(DEADLINE, source.asked.acquire()).await.expect("it is asked to open");
    drop(asked);
    // Time for a premature comparison to finish; a correct run does not depend on it.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let student = bed.post_student(1, "Ada").await;
    source.may_open.add_permits(1);
    bed.wait_cached(student.uuid, student.version).await;
    projector.stop(DEADLINE).await.expect("it stops in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_another_database_is_refused() {
    let bed = Bed::new().await;
    let (queue, source) = (bed.queue(), HandSource::default());
    let deps = bed.deps(Arc::clone(&queue) as Arc<dyn WorkQueue>, Arc::new(source.clone()));
    let projector = Projector::start(deps.clone());
    bed.wait_followed(&*queue).await;
    projector.stop(DEADLINE).await.expect("it stops in time");
    let database = r#"SELECT "DatabaseUuid" FROM "dms"."EffectiveSchema""#;
    let expected: Uuid = bed.value(database).await;
    bed.execute(r#"UPDATE "dms"."EffectiveSchema" SET "DatabaseUuid" = gen_random_uuid()"#).await;
    let found: Uuid = bed.value(database).await;
    let projector = Projector::start(deps);
    let reason = tokio::time::timeout(DEADLINE, projector.fatal()).await.expect("it gives up");
    for part in ["an empty queue", &expected.to_string(), &found.to_string()] {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(projector.status().await.expect("a status").fatal, Some(reason));
    assert_eq!(source.starts().len(), 1);
    projector.stop(DEADLINE).await.expect("it stops in time");
}
