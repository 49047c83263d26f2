//! The promises of [`Lanes`]. Each lane also passes the suite of a queue, [`super::run`].

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::bench::{DEADLINE, QUARANTINED, work};
use crate::change::ChangeKind;
use crate::clock::{Clock, ManualClock};
use crate::position::Position;
use crate::queue::contract::WorkQueue;
use crate::queue::error::{NOTE_BYTES_MAX, QueueError};
use crate::queue::lanes::Lanes;
use crate::queue::settle::{Settled, Taken};
use crate::queue::stats::QueueStats;

/// How long a lane without ready entries is watched.
const NOT_READY: Duration = Duration::from_millis(20);

/// A queue with its lanes.
#[derive(Clone)]
pub struct OpenQueue {
    /// The cache queue.
    pub cache_queue: Arc<dyn WorkQueue>,
    /// Its lanes.
    pub lanes: Arc<dyn Lanes>,
}

/// Creates one queue, and opens it again after all handles to it and its lanes were dropped.
pub trait LanesFixture {
    /// Opens the queue with [`super::ATTEMPTS_MAX`] allowed failures and the time from `clock`. A second call opens the
    /// same queue, as after a restart.
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, OpenQueue>;
}

/// A queue with lanes under test.
struct LanesBench<'a> {
    fixture: &'a mut dyn LanesFixture,
    clock: ManualClock,
    opened: Option<OpenQueue>,
}

/// Runs the whole suite, each case on a new queue from `fixture`.
///
/// # Panics
/// When the lanes break a promise; the message says which.
pub async fn run<F: LanesFixture>(mut fixture: impl FnMut() -> F) {
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {$({
            let mut fixture = fixture();
            let clock = ManualClock::at(1_000_000);
            let opened = Some(fixture.open(clock.clone()).await);
            let bench = LanesBench { fixture: &mut fixture, clock, opened };
            let done = tokio::time::timeout(DEADLINE, $case(bench)).await;
            assert!(done.is_ok(), concat!(stringify!($case), " did not end"));
        })*};
    }
    cases!(
        without_lanes_a_delivery_is_the_end,
        a_delivery_moves_into_every_lane,
        what_is_delivered_is_added_up_in_the_lane,
        a_delete_in_the_lane_is_final,
        what_was_added_to_is_delivered_and_stays,
        an_unknown_ticket_delivers_nothing,
        lanes_are_independent,
        a_lane_delivers_to_no_other_lane,
        a_newer_delivery_leaves_quarantine_by_itself,
        a_paused_lane_accepts_and_hands_out_nothing,
        lanes_outlive_a_restart,
        a_removed_lane_does_not_come_back,
        waiting_at_a_lane_ends_with_it,
        names_and_notes_are_checked_and_kept,
    );
}

impl LanesBench<'_> {
    fn opened(&self) -> &OpenQueue {
        self.opened.as_ref().expect("the queue is open")
    }

    fn cache_queue(&self) -> &dyn WorkQueue {
        &*self.opened().cache_queue
    }

    fn lanes(&self) -> &dyn Lanes {
        &*self.opened().lanes
    }

    /// Opens the queue again; the caller must have dropped all lanes.
    async fn reopen(&mut self) {
        self.opened = None;
        self.opened = Some(self.fixture.open(self.clock.clone()).await);
    }

    async fn add(&self, name: &str) -> Arc<dyn WorkQueue> {
        self.lanes().add_lane(name).await.expect("a lane")
    }

    async fn lane(&self, name: &str) -> Arc<dyn WorkQueue> {
        self.lanes().lane(name).await.expect("looked up").expect("the lane exists")
    }

    async fn put(&self, kind: ChangeKind, document_id: i64, version: i64) {
        let work = work(kind, document_id, version, self.clock.now_ms());
        self.cache_queue().put(vec![work], None).await.expect("put");
    }

    /// Puts a change and delivers it.
    async fn deliver(&self, kind: ChangeKind, document_id: i64, version: i64) {
        self.put(kind, document_id, version).await;
        let taken = one(self.cache_queue()).await;
        let deleted = kind == ChangeKind::Delete;
        let settled = (taken.ticket, Settled::Deliver { version, deleted, repair: false });
        assert_eq!(self.cache_queue().settle(vec![settled]).await.expect("settle").removed, 1);
    }
}

async fn one(queue: &dyn WorkQueue) -> Taken {
    let mut taken = queue.take(1).await.expect("take");
    assert_eq!(taken.len(), 1, "there should be something to take");
    taken.remove(0)
}

async fn end(queue: &dyn WorkQueue, taken: Taken, settled: Settled) {
    assert_eq!(queue.settle(vec![(taken.ticket, settled)]).await.expect("settle").unknown, 0);
}

async fn depth(queue: &dyn WorkQueue) -> u64 {
    queue.stats().await.expect("stats").depth
}

/// Takes everything that is ready; returns (document, version) pairs.
async fn versions(queue: &dyn WorkQueue) -> Vec<(i64, i64)> {
    let taken = queue.take(100).await.expect("take");
    taken.iter().map(|taken| (taken.work.document_id, taken.work.version)).collect()
}

fn is_gone<T>(result: &Result<T, QueueError>, lane: &str) -> bool {
    matches!(result, Err(QueueError::NoLane { name }) if name == lane)
}

async fn without_lanes_a_delivery_is_the_end(bench: LanesBench<'_>) {
    bench.deliver(ChangeKind::Upsert, 1, 1).await;
    assert_eq!(depth(bench.cache_queue()).await, 0);
    let late = bench.add("late").await;
    assert_eq!(depth(&*late).await, 0, "a lane gets what is delivered after it was added");
}

async fn a_delivery_moves_into_every_lane(bench: LanesBench<'_>) {
    let lanes = [bench.add("kafka").await, bench.add("search").await];
    bench.put(ChangeKind::Touch, 1, 10).await;
    bench.put(ChangeKind::Identity, 2, 11).await;
    let put_at_ms = bench.clock.now_ms();
    bench.clock.advance(40);
    for taken in bench.cache_queue().take(2).await.expect("take") {
        end(bench.cache_queue(), taken, Settled::Deliver { version: 12, deleted: false, repair: false }).await;
    }
    assert_eq!(depth(bench.cache_queue()).await, 0);
    for lane in &lanes {
        let stats = lane.stats().await.expect("stats");
        let expected = QueueStats { depth: 2, touches: 1, oldest_age_ms: 40, ..QueueStats::default() };
        assert_eq!(stats, expected, "a lane reports the age of the change and no disk of its own");
        for taken in lane.take(2).await.expect("take") {
            let work = taken.work;
            assert_eq!((work.version, work.xid, work.attempts, work.not_before_ms), (12, 0, 0, 0));
            assert!(work.rebuild && !work.deleted && !work.cascade, "there is nothing to cascade in a lane");
            assert_eq!(work.low_priority, work.document_id == 1);
            assert_eq!(work.first_enqueued_at_ms, put_at_ms);
            assert_eq!((work.document_uuid.as_u128(), work.resource_key), (work.document_id as u128, 7));
        }
    }
}

async fn what_is_delivered_is_added_up_in_the_lane(bench: LanesBench<'_>) {
    let lane = bench.add("kafka").await;
    let first_ms = bench.clock.now_ms();
    for version in 1..=100 {
        bench.deliver(ChangeKind::Upsert, 1, version).await;
        bench.clock.advance(1);
    }
    assert_eq!(depth(&*lane).await, 1, "an outage costs one entry per document");
    let taken = one(&*lane).await;
    assert_eq!((taken.work.version, taken.work.first_enqueued_at_ms), (100, first_ms));
    bench.deliver(ChangeKind::Upsert, 1, 101).await;
    end(&*lane, taken, Settled::Done).await;
    assert_eq!(versions(&*lane).await, [(1, 101)], "what was delivered meanwhile is still pending");
}

async fn a_delete_in_the_lane_is_final(bench: LanesBench<'_>) {
    let lane = bench.add("kafka").await;
    bench.deliver(ChangeKind::Upsert, 1, 1).await;
    bench.deliver(ChangeKind::Delete, 1, 2).await;
    bench.deliver(ChangeKind::Upsert, 1, 1).await;
    let taken = one(&*lane).await;
    assert!(taken.work.deleted && !taken.work.rebuild);
    assert_eq!(taken.work.version, 2);
}

async fn what_was_added_to_is_delivered_and_stays(bench: LanesBench<'_>) {
    let lane = bench.add("kafka").await;
    bench.put(ChangeKind::Upsert, 1, 1).await;
    for version in 1..=3 {
        let taken = one(bench.cache_queue()).await;
        bench.put(ChangeKind::Upsert, 1, version + 1).await;
        end(bench.cache_queue(), taken, Settled::Deliver { version, deleted: false, repair: false }).await;
        assert_eq!((depth(bench.cache_queue()).await, depth(&*lane).await), (1, 1));
        let delivered = one(&*lane).await;
        assert_eq!(delivered.work.version, version, "a document that is edited all the time reaches the sinks");
        end(&*lane, delivered, Settled::Done).await;
    }
    assert_eq!(versions(bench.cache_queue()).await, [(1, 4)]);
}

async fn an_unknown_ticket_delivers_nothing(bench: LanesBench<'_>) {
    let lane = bench.add("kafka").await;
    bench.put(ChangeKind::Upsert, 1, 1).await;
    let taken = one(bench.cache_queue()).await;
    end(bench.cache_queue(), taken.clone(), Settled::RetryAt { not_before_ms: 0 }).await;
    let again = (taken.ticket, Settled::Deliver { version: 1, deleted: false, repair: false });
    assert_eq!(bench.cache_queue().settle(vec![again]).await.expect("settle").unknown, 1);
    assert_eq!((depth(bench.cache_queue()).await, depth(&*lane).await), (1, 0));
}

async fn lanes_are_independent(bench: LanesBench<'_>) {
    let (fast, broken) = (bench.add("fast").await, bench.add("broken").await);
    for document_id in 1..=5 {
        bench.deliver(ChangeKind::Upsert, document_id, 1).await;
        let taken = one(&*broken).await;
        end(&*broken, taken, Settled::Quarantine { reason: "down".to_owned() }).await;
        let taken = one(&*fast).await;
        let settled = bench.cache_queue().settle(vec![(taken.ticket, Settled::Done)]).await.expect("settle");
        assert_eq!(settled.unknown, 1, "a ticket is valid only in the lane that issued it");
        end(&*fast, taken, Settled::Done).await;
    }
    assert_eq!(depth(&*fast).await, 0);
    assert_eq!(fast.discard(vec![1]).await.expect("discard"), 0);
    assert_eq!(broken.release(vec![1, 2, 3]).await.expect("release"), 3);
    assert_eq!(broken.quarantined(None, 9).await.expect("list").len(), 2);
    assert_eq!(bench.cache_queue().quarantined(None, 9).await.expect("list"), []);
    fast.put(vec![work(ChangeKind::Upsert, 9, 1, 1)], Some(Position::before(7))).await.expect("put");
    assert_eq!(versions(&*broken).await, [(1, 1), (2, 1), (3, 1)], "a backfill fills one lane");
    assert_eq!(fast.position().await.expect("position"), Some(Position::before(7)));
    assert_eq!(broken.position().await.expect("position"), None);
    assert_eq!(bench.cache_queue().position().await.expect("position"), None);
}

async fn a_lane_delivers_to_no_other_lane(bench: LanesBench<'_>) {
    let (lane, other) = (bench.add("a").await, bench.add("b").await);
    bench.deliver(ChangeKind::Upsert, 1, 1).await;
    let taken = one(&*lane).await;
    end(&*lane, taken, Settled::Deliver { version: 9, deleted: false, repair: false }).await;
    assert_eq!((depth(&*lane).await, versions(&*other).await), (0, vec![(1, 1)]));
}

async fn a_newer_delivery_leaves_quarantine_by_itself(bench: LanesBench<'_>) {
    let lane = bench.add("kafka").await;
    bench.deliver(ChangeKind::Upsert, 1, 1).await;
    let taken = one(&*lane).await;
    let refused = Settled::Quarantine { reason: "too large".to_owned() };
    assert_eq!(lane.settle(vec![(taken.ticket, refused)]).await.expect("settle"), QUARANTINED);
    bench.deliver(ChangeKind::Upsert, 1, 1).await;
    let listed = lane.quarantined(None, 9).await.expect("list");
    assert_eq!((listed[0].reason.as_str(), listed[0].work.attempts), ("too large", 1));
    bench.deliver(ChangeKind::Upsert, 1, 2).await;
    let taken = one(&*lane).await;
    assert_eq!((taken.work.version, taken.work.attempts), (2, 0));
}

async fn a_paused_lane_accepts_and_hands_out_nothing(mut bench: LanesBench<'_>) {
    let (lane, other) = (bench.add("kafka").await, bench.add("search").await);
    bench.deliver(ChangeKind::Upsert, 1, 1).await;
    let taken = one(&*lane).await;
    bench.lanes().set_paused("kafka", true).await.expect("paused");
    end(&*lane, taken, Settled::RetryAt { not_before_ms: 0 }).await;
    bench.deliver(ChangeKind::Upsert, 2, 2).await;
    assert_eq!((depth(&*lane).await, versions(&*lane).await), (2, vec![]));
    assert!(tokio::time::timeout(NOT_READY, lane.ready()).await.is_err(), "a paused lane is not ready");
    tokio::time::timeout(DEADLINE, other.ready()).await.expect("in time").expect("it delays no other");
    drop((lane, other));
    bench.reopen().await;
    let paused = bench.lanes().lanes().await.expect("lanes");
    assert_eq!(
        paused.iter().map(|lane| (lane.name.as_str(), lane.paused)).collect::<Vec<_>>(),
        [("kafka", true), ("search", false)]
    );
    let (lane, other) = (bench.add("kafka").await, bench.lane("search").await);
    assert_eq!(versions(&*lane).await, [], "adding it again does not resume it");
    assert_eq!(versions(&*other).await, [(1, 1), (2, 2)], "it delays no other");
    let ready = lane.ready();
    let (ready, resumed) = tokio::join!(ready, bench.lanes().set_paused("kafka", false));
    assert!(ready.is_ok() && resumed.is_ok());
    assert_eq!(versions(&*lane).await, [(1, 1), (2, 2)]);
    assert!(is_gone(&bench.lanes().set_paused("absent", true).await, "absent"));
}

async fn lanes_outlive_a_restart(mut bench: LanesBench<'_>) {
    let lane = bench.add("kafka").await;
    let epoch = lane.epoch();
    for document_id in 1..=3 {
        bench.deliver(ChangeKind::Upsert, document_id, document_id).await;
    }
    let taken = lane.take(2).await.expect("take").remove(1);
    end(&*lane, taken, Settled::Done).await;
    drop(lane);
    bench.reopen().await;
    let lane = bench.lane("kafka").await;
    assert_eq!(versions(&*lane).await, [(1, 1), (3, 3)]);
    assert_eq!(lane.epoch(), epoch);
    assert_ne!(epoch, bench.cache_queue().epoch());
    assert!(bench.lanes().lane("search").await.expect("looked up").is_none());
}

async fn a_removed_lane_does_not_come_back(mut bench: LanesBench<'_>) {
    let (lane, other) = (bench.add("kafka").await, bench.add("search").await);
    let epoch = lane.epoch();
    let many = (1..=1_500).map(|document_id| work(ChangeKind::Upsert, document_id, 1, 1)).collect();
    lane.put(many, Some(Position::before(3))).await.expect("put");
    bench.lanes().set_note("kafka", "backfill", Some(vec![1])).await.expect("note");
    bench.lanes().set_paused("kafka", true).await.expect("paused");
    assert!(bench.lanes().remove_lane("kafka").await.expect("removed"));
    assert!(!bench.lanes().remove_lane("kafka").await.expect("looked up"), "once is enough");
    assert!(is_gone(&lane.take(1).await, "kafka") && is_gone(&lane.stats().await, "kafka"));
    assert!(is_gone(&lane.put(vec![], None).await, "kafka") && is_gone(&lane.ready().await, "kafka"));
    assert!(is_gone(&bench.lanes().note("kafka", "backfill").await, "kafka"));
    bench.deliver(ChangeKind::Upsert, 9_000, 1).await;
    let again = bench.add("kafka").await;
    assert!(is_gone(&lane.position().await, "kafka"), "a new lane of the same name is a different lane");
    assert_ne!(again.epoch(), epoch);
    assert_eq!(again.stats().await.expect("stats"), QueueStats::default());
    assert_eq!(again.position().await.expect("position"), None);
    assert_eq!(bench.lanes().note("kafka", "backfill").await.expect("note"), None);
    bench.deliver(ChangeKind::Upsert, 9_001, 1).await;
    assert!(bench.lanes().remove_lane("search").await.expect("removed"));
    drop((lane, other, again));
    bench.reopen().await;
    let lanes = bench.lanes().lanes().await.expect("lanes");
    assert_eq!(lanes.iter().map(|lane| (lane.name.as_str(), lane.paused)).collect::<Vec<_>>(), [("kafka", false)]);
    assert_eq!(versions(&*bench.lane("kafka").await).await, [(9_001, 1)]);
    assert_eq!(depth(&*bench.add("search").await).await, 0, "entries of the removed lane do not come back");
}

async fn waiting_at_a_lane_ends_with_it(bench: LanesBench<'_>) {
    let lane = bench.add("kafka").await;
    assert!(tokio::time::timeout(NOT_READY, lane.ready()).await.is_err());
    let (ready, ()) = tokio::join!(lane.ready(), bench.deliver(ChangeKind::Upsert, 1, 1));
    ready.expect("ready");
    let taken = one(&*lane).await;
    let (ready, removed) = tokio::join!(lane.ready(), bench.lanes().remove_lane("kafka"));
    assert!(removed.expect("removed") && is_gone(&ready, "kafka"));
    let late = lane.settle(vec![(taken.ticket, Settled::Done)]).await;
    assert!(is_gone(&late, "kafka"), "entries in flight are gone with the lane");
}

async fn names_and_notes_are_checked_and_kept(mut bench: LanesBench<'_>) {
    for name in ["", "Kafka", "a/b", "a_b", "ü", &"a".repeat(41)] {
        assert!(matches!(bench.lanes().add_lane(name).await, Err(QueueError::LaneName { .. })), "{name:?}");
    }
    let longest = "a-9".repeat(13);
    bench.add(&longest).await;
    bench.add("b").await;
    let lanes = bench.lanes();
    let largest = vec![7; NOTE_BYTES_MAX];
    for note in [vec![], largest.clone()] {
        lanes.set_note(&longest, "state", Some(note)).await.expect("note");
    }
    lanes.set_note("b", "state", Some(vec![1])).await.expect("note");
    lanes.set_note("b", "state", None).await.expect("forgotten");
    let too_large = lanes.set_note("b", "state", Some(vec![0; NOTE_BYTES_MAX + 1])).await;
    assert!(matches!(too_large, Err(QueueError::Note { bytes, .. }) if bytes == NOTE_BYTES_MAX + 1));
    assert!(matches!(lanes.set_note("b", "no key", Some(vec![])).await, Err(QueueError::Note { .. })));
    assert!(is_gone(&lanes.set_note("c", "state", Some(vec![])).await, "c"));
    bench.reopen().await;
    assert_eq!(bench.lanes().note(&longest, "state").await.expect("note"), Some(largest));
    assert_eq!(bench.lanes().note(&longest, "other").await.expect("note"), None);
    assert_eq!(bench.lanes().note("b", "state").await.expect("note"), None);
}
