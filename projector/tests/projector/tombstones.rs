//! Pruning tombstones: those that are old and no longer needed are removed, no others.

use super::delivery::{District, held};
use super::sink_manager::{Maps, manager};
use super::support::{DEADLINE, PolledSource};
use bytes::Bytes;
use millstream_pipeline::Position;
use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::queue::{Lanes, MemoryQueue, Work, WorkQueue};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Sink};
use millstream_projector::sink_manager::backfill;
use millstream_projector::tombstones::{HeldBack, Pruned, TombstoneDeps, prune};
use millstream_testkit::wait_until;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// For a call that is to be held back.
const SOON: Duration = Duration::from_millis(200);

/// Polled positions are not log positions: this one is beyond all of them. To be called after the source has started,
/// which does not read the queue again.
async fn followed(district: &District) {
    district.queue.put(Vec::new(), Some(Position::before(u64::MAX))).await.expect("a position is stored");
}

async fn prune_once(district: &District, wait_max: Duration) -> Pruned {
    let deps = TombstoneDeps {
        database: district.bed.db().clone(),
        source: PolledSource::factory(district.bed.db()),
        queue: Arc::<MemoryQueue>::clone(&district.queue),
        lanes: Arc::<MemoryQueue>::clone(&district.queue),
        clock: Arc::new(SystemClock),
    };
    prune(&deps, 30 * DAY, wait_max).await.expect("no error")
}

/// Adds and deletes a student, with a tombstone of this age; these sinks have received both.
async fn deleted_student(district: &District, number: usize, days: u32, sinks: &[&dyn Sink]) -> Uuid {
    let student = district.bed.post_student(number, "Ada").await.uuid;
    district.bed.wait_converged().await;
    for sink in sinks {
        district.wait_equal(*sink).await;
    }
    district.bed.delete("students", student).await;
    for sink in sinks {
        district.wait_equal(*sink).await;
    }
    let sql = format!(
        r#"UPDATE "dms"."Tombstone" SET "DeletedAt" = now() - interval '{days} days' WHERE "DocumentUuid" = '{student}'"#
    );
    district.bed.execute(&sql).await;
    student
}

async fn tombstones(district: &District) -> i64 {
    district.bed.value(r#"SELECT count(*) FROM "dms"."Tombstone""#).await
}

async fn wait_depth(district: &District, lane: &str, depth: u64) {
    let lane = district.queue.lane(lane).await.expect("an answer").expect("a lane");
    wait_until("the lane to have this depth", DEADLINE, || async {
        lane.stats().await.expect("counters").depth == depth
    })
    .await;
}

/// RECOVERABLE: deletes included, as long as a copy may need them.
#[tokio::test(flavor = "multi_thread")]
async fn old_tombstones_go_when_every_lane_is_past_them() {
    let district = District::new().await;
    assert_eq!(prune_once(&district, SOON).await, Pruned::Removed(0), "there are none");
    let maps = Maps::of(&["copy", "search"]);
    let manager = manager(&district, &maps).await;
    manager.add("copy", None).await.expect("it is added");
    manager.add("search", None).await.expect("it is added");
    let (copy, search) = (maps.get("copy"), maps.get("search"));
    let both: &[&dyn Sink] = &[&*copy, &*search];
    deleted_student(&district, 1, 29, both).await;
    followed(&district).await;
    deleted_student(&district, 2, 31, both).await;
    assert_eq!(prune_once(&district, DEADLINE).await, Pruned::Removed(1), "only the old one");

    manager.set_paused("copy", true).await.expect("it pauses");
    assert_eq!(prune_once(&district, SOON).await, Pruned::Removed(0), "the young one stays");
    deleted_student(&district, 3, 31, &both[1..]).await;
    wait_depth(&district, "copy", 1).await;
    assert_eq!(prune_once(&district, SOON).await, Pruned::HeldBack(HeldBack::Lane("copy".to_owned())), "it is paused");
    assert_eq!(tombstones(&district).await, 2);
    manager.set_paused("copy", false).await.expect("it resumes");
    assert_eq!(prune_once(&district, DEADLINE).await, Pruned::Removed(1));
    district.wait_equal(&*copy).await;

    // A lane without a delivery worker in this process counts too.
    district.queue.add_lane("elsewhere").await.expect("a lane");
    deleted_student(&district, 4, 31, both).await;
    wait_depth(&district, "elsewhere", 1).await;
    assert_eq!(prune_once(&district, SOON).await, Pruned::HeldBack(HeldBack::Lane("elsewhere".to_owned())));
    district.queue.remove_lane("elsewhere").await.expect("it is removed");
    assert_eq!(prune_once(&district, DEADLINE).await, Pruned::Removed(1));
    manager.stop(DEADLINE).await.expect("it stops");
}

/// A running replay keeps its tombstones, and so does a cache queue that lags.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_and_a_lagging_cache_queue_hold_tombstones_back() {
    let district = District::new().await;
    deleted_student(&district, 1, 31, &[]).await;
    assert_eq!(prune_once(&district, SOON).await, Pruned::HeldBack(HeldBack::CacheQueue), "its position is unknown");
    followed(&district).await;
    let maps = Maps::of(&["search"]);
    let manager = manager(&district, &maps).await;
    for number in 10..20 {
        district.bed.post_student(number, "Ada").await;
    }
    district.bed.wait_converged().await;
    manager.add("search", Some(backfill(Some(1)))).await.expect("it is added");
    assert_eq!(prune_once(&district, SOON).await, Pruned::HeldBack(HeldBack::Replay("search".to_owned())));
    assert!(manager.cancel_replay("search").await.expect("an answer"), "it ran");
    assert_eq!(prune_once(&district, DEADLINE).await, Pruned::Removed(1));
    manager.stop(DEADLINE).await.expect("it stops");
}

/// CONVERGE, MONOTONIC: a document with neither a row nor a tombstone is delivered as a delete, whatever its entry
/// says.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_entry_of_a_pruned_document_is_delivered_as_a_delete() {
    let district = District::new().await;
    let maps = Maps::of(&["search"]);
    let manager = manager(&district, &maps).await;
    manager.add("search", None).await.expect("it is added");
    let sink = maps.get("search");
    let student = district.bed.post_student(1, "Ada").await;
    district.wait_equal(&*sink).await;
    let uuid = Uuid::from_u128(0xF0);
    let json = format!(r#"{{"id":"{uuid}","_etag":"{}"}}"#, student.version);
    let content = Content::Document(Bytes::from(json));
    let key = DocumentKey { uuid, resource_key: 1 };
    sink.put(&[Delivery { key, version: student.version, content, repair: false }]).await;
    assert_eq!(held(&*sink).await.len(), 2);
    let entry = Work {
        document_id: 1_000_000,
        document_uuid: uuid,
        resource_key: 1,
        version: student.version - 1,
        xid: 0,
        history: 0,
        deleted: false,
        rebuild: true,
        cascade: false,
        repair: false,
        low_priority: true,
        attempts: 0,
        first_enqueued_at_ms: 0,
        not_before_ms: 0,
    };
    let lane = district.queue.lane("search").await.expect("an answer").expect("a lane");
    district.bed.post_student(2, "Bea").await;
    lane.put(vec![entry], None).await.expect("it is enqueued");
    wait_depth(&district, "search", 0).await;
    district.wait_equal(&*sink).await;
    assert!(!held(&*sink).await.contains_key(&uuid), "it is gone");
    manager.stop(DEADLINE).await.expect("it stops");
}
