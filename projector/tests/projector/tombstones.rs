//! The ledger of deletes: what is old and needed by nobody goes, and nothing else.

use super::delivery::{Town, held};
use super::sink_manager::{Maps, fleet};
use super::support::{PATIENCE, PolledSource};
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
/// For a look that is to be held back.
const SOON: Duration = Duration::from_millis(200);

/// Where the outbox is polled, positions are no places in the log: this one is beyond all of them. For a source that has
/// begun, which asks the queue no more.
async fn followed(town: &Town) {
    town.queue.put(Vec::new(), Some(Position::before(u64::MAX))).await.expect("a position is stored");
}

async fn look(town: &Town, patience: Duration) -> Pruned {
    let deps = TombstoneDeps {
        database: town.bed.db().clone(),
        source: PolledSource::factory(town.bed.db()),
        queue: Arc::<MemoryQueue>::clone(&town.queue),
        lanes: Arc::<MemoryQueue>::clone(&town.queue),
        clock: Arc::new(SystemClock),
    };
    prune(&deps, 30 * DAY, patience).await.expect("a look")
}

/// A student that was, with a tombstone as old as said; these sinks have held it, and hold it no more.
async fn buried(town: &Town, number: usize, days: u32, sinks: &[&dyn Sink]) -> Uuid {
    let student = town.bed.post_student(number, "Ada").await.uuid;
    town.bed.wait_converged().await;
    for sink in sinks {
        town.wait_equal(*sink).await;
    }
    town.bed.delete("students", student).await;
    for sink in sinks {
        town.wait_equal(*sink).await;
    }
    let sql = format!(
        r#"UPDATE "dms"."Tombstone" SET "DeletedAt" = now() - interval '{days} days' WHERE "DocumentUuid" = '{student}'"#
    );
    town.bed.execute(&sql).await;
    student
}

async fn tombstones(town: &Town) -> i64 {
    town.bed.value(r#"SELECT count(*) FROM "dms"."Tombstone""#).await
}

async fn wait_depth(town: &Town, lane: &str, depth: u64) {
    let lane = town.queue.lane(lane).await.expect("an answer").expect("a lane");
    wait_until("the lane to hold so much", PATIENCE, || async { lane.stats().await.expect("figures").depth == depth })
        .await;
}

/// RECOVERABLE: deletes included, as long as a copy may need them.
#[tokio::test(flavor = "multi_thread")]
async fn old_tombstones_go_when_every_lane_is_past_them() {
    let town = Town::new().await;
    assert_eq!(look(&town, SOON).await, Pruned::Removed(0), "there are none");
    let maps = Maps::of(&["copy", "search"]);
    let fleet = fleet(&town, &maps).await;
    fleet.add("copy", None).await.expect("it is added");
    fleet.add("search", None).await.expect("it is added");
    let (copy, search) = (maps.get("copy"), maps.get("search"));
    let both: &[&dyn Sink] = &[&*copy, &*search];
    buried(&town, 1, 29, both).await;
    followed(&town).await;
    buried(&town, 2, 31, both).await;
    assert_eq!(look(&town, PATIENCE).await, Pruned::Removed(1), "only the old one");

    fleet.set_paused("copy", true).await.expect("it pauses");
    assert_eq!(look(&town, SOON).await, Pruned::Removed(0), "the young one stays");
    buried(&town, 3, 31, &both[1..]).await;
    wait_depth(&town, "copy", 1).await;
    assert_eq!(look(&town, SOON).await, Pruned::HeldBack(HeldBack::Lane("copy".to_owned())), "it is paused");
    assert_eq!(tombstones(&town).await, 2);
    fleet.set_paused("copy", false).await.expect("it resumes");
    assert_eq!(look(&town, PATIENCE).await, Pruned::Removed(1));
    town.wait_equal(&*copy).await;

    // A lane that nobody here delivers from counts like any other.
    town.queue.add_lane("elsewhere").await.expect("a lane");
    buried(&town, 4, 31, both).await;
    wait_depth(&town, "elsewhere", 1).await;
    assert_eq!(look(&town, SOON).await, Pruned::HeldBack(HeldBack::Lane("elsewhere".to_owned())));
    town.queue.remove_lane("elsewhere").await.expect("it is removed");
    assert_eq!(look(&town, PATIENCE).await, Pruned::Removed(1));
    fleet.stop(PATIENCE).await.expect("it stops");
}

/// A walk over the ledger is not robbed of it, nor a stage that has not come so far.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_and_a_stage_that_is_behind_hold_tombstones_back() {
    let town = Town::new().await;
    buried(&town, 1, 31, &[]).await;
    assert_eq!(look(&town, SOON).await, Pruned::HeldBack(HeldBack::CacheQueue), "nobody knows how far it is");
    followed(&town).await;
    let maps = Maps::of(&["search"]);
    let fleet = fleet(&town, &maps).await;
    for number in 10..20 {
        town.bed.post_student(number, "Ada").await;
    }
    town.bed.wait_converged().await;
    fleet.add("search", Some(backfill(Some(1)))).await.expect("it is added");
    assert_eq!(look(&town, SOON).await, Pruned::HeldBack(HeldBack::Replay("search".to_owned())));
    assert!(fleet.cancel_replay("search").await.expect("an answer"), "it ran");
    assert_eq!(look(&town, PATIENCE).await, Pruned::Removed(1));
    fleet.stop(PATIENCE).await.expect("it stops");
}

/// CONVERGE, MONOTONIC: a document that is neither there nor in the ledger is deleted, whatever its entry says.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_entry_of_a_forgotten_document_ends_as_a_delete() {
    let town = Town::new().await;
    let maps = Maps::of(&["search"]);
    let fleet = fleet(&town, &maps).await;
    fleet.add("search", None).await.expect("it is added");
    let sink = maps.get("search");
    let student = town.bed.post_student(1, "Ada").await;
    town.wait_equal(&*sink).await;
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
        deleted: false,
        rebuild: true,
        cascade: false,
        repair: false,
        low_priority: true,
        attempts: 0,
        first_enqueued_at_ms: 0,
        not_before_ms: 0,
    };
    let lane = town.queue.lane("search").await.expect("an answer").expect("a lane");
    town.bed.post_student(2, "Bea").await;
    lane.put(vec![entry], None).await.expect("it is owed");
    wait_depth(&town, "search", 0).await;
    town.wait_equal(&*sink).await;
    assert!(!held(&*sink).await.contains_key(&uuid), "it is gone");
    fleet.stop(PATIENCE).await.expect("it stops");
}
