//! Adding and removing sinks while everything runs, and the replays that fill them.

use super::delivery::{District, ScriptedSink, held};
use super::support::DEADLINE;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::{Lanes, MemoryQueue, QueueError, WorkQueue};
use millstream_pipeline::sink::{MemorySink, Sink, SinkError};
use millstream_projector::delivery::DeliveryWorkerOptions;
use millstream_projector::replay::{
    Aim, FileLedger, Job, JobState, Ledger, LedgerError, Replay, ReplayDeps, ReplayError, ReplayOptions, Selection,
    Spec, count,
};
use millstream_projector::sink_manager::{SinkFactory, SinkManager, SinkManagerDeps, SinkManagerError, backfill};
use millstream_testkit::{wait_for, wait_until};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// In-memory sinks by name; other names cannot be opened.
#[derive(Default)]
pub(super) struct Maps(Mutex<BTreeMap<String, Arc<MemorySink>>>);

impl Maps {
    pub(super) fn of(names: &[&str]) -> Arc<Self> {
        let maps = names.iter().map(|name| ((*name).to_owned(), Arc::default()));
        Arc::new(Self(Mutex::new(maps.collect())))
    }

    pub(super) fn get(&self, name: &str) -> Arc<MemorySink> {
        Arc::clone(&self.0.lock().expect("not poisoned")[name])
    }
}

impl SinkFactory for Maps {
    fn open<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Result<Arc<dyn Sink>, SinkError>> {
        let map = self.0.lock().expect("not poisoned").get(lane).cloned();
        let incompatible =
            || SinkError::Incompatible { sink: lane.to_owned(), differences: vec!["it is not configured".to_owned()] };
        async move { map.map(|map| map as Arc<dyn Sink>).ok_or_else(incompatible) }.boxed()
    }
}

pub(super) async fn manager(district: &District, maps: &Arc<Maps>) -> SinkManager {
    manager_of(district, Arc::<Maps>::clone(maps)).await
}

async fn manager_of(district: &District, sinks: Arc<dyn SinkFactory>) -> SinkManager {
    let deps = SinkManagerDeps {
        lanes: Arc::<MemoryQueue>::clone(&district.queue),
        sinks,
        database: district.bed.db().clone(),
        memory: MemoryBudget::default(),
        clock: Arc::new(SystemClock),
        delivery: DeliveryWorkerOptions::default(),
        replay: ReplayOptions { page: 7, ..ReplayOptions::default() },
        serves: Arc::new(|_| true),
    };
    SinkManager::start(deps).await.expect("a manager")
}

async fn wait_replayed(manager: &SinkManager, name: &str) -> u64 {
    wait_for("the replay to end", DEADLINE, || async {
        let lanes = manager.status().await.expect("a status");
        let replay = lanes.into_iter().find(|lane| lane.report.name == name)?.replay?;
        (replay.state == JobState::Done).then_some(replay.done)
    })
    .await
}

/// RECOVERABLE, CONVERGE
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_added_is_filled_and_followed_and_can_be_removed() {
    let district = District::new().await;
    let room = district.bed.homeroom(30).await;
    district.bed.delete("studentSchoolAssociations", room.enrolments[3]).await;
    district.bed.wait_converged().await;
    let maps = Maps::of(&["search"]);
    let manager = manager(&district, &maps).await;

    let refused = manager.add("nowhere", None).await.expect_err("it is not configured");
    assert!(matches!(refused, SinkManagerError::Sink { .. }), "{refused}");
    assert!(manager.names().await.expect("names").is_empty(), "nothing was added");

    manager.add("search", Some(backfill(None))).await.expect("it is added");
    district.bed.post_student(99, "Late").await;
    district.wait_equal(&*maps.get("search")).await;
    let documents = district.bed.value::<i64>(r#"SELECT count(*) FROM "dms"."Document""#).await as u64;
    let replayed = wait_replayed(&manager, "search").await;
    assert!(replayed >= documents, "all documents and the tombstone: {replayed} of {documents}");
    assert!(matches!(manager.add("search", None).await, Err(SinkManagerError::Exists(_))));

    manager.remove("search", DEADLINE).await.expect("it is removed");
    assert!(matches!(manager.set_paused("search", true).await, Err(SinkManagerError::Unknown { .. })));
    assert!(district.queue.lanes().await.expect("lanes").is_empty());
    manager.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_sink_has_one_entry_per_document_and_gets_them_after_the_pause() {
    let district = District::new().await;
    let maps = Maps::of(&["search"]);
    let manager = manager(&district, &maps).await;
    manager.add("search", None).await.expect("it is added");
    manager.set_paused("search", true).await.expect("it pauses");
    for round in 0..10 {
        district.bed.post_student(1, &format!("Ada {round}")).await;
        district.bed.post_student(2, &format!("Bea {round}")).await;
    }
    district.bed.wait_converged().await;
    let lane = wait_for("two entries to wait", DEADLINE, || async {
        let lane = manager.status().await.expect("a status").remove(0);
        (lane.report.depth == 2).then_some(lane)
    })
    .await;
    assert!(lane.paused && lane.report.delivered == 0, "{lane:#?}");
    manager.set_paused("search", false).await.expect("it resumes");
    district.wait_equal(&*maps.get("search")).await;
    manager.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_resumes_where_it_was_stopped_and_keeps_to_its_rate() {
    let district = District::new().await;
    for number in 0..60 {
        district.bed.post_student(number, "Ada").await;
    }
    district.bed.wait_converged().await;
    let maps = Maps::of(&["search"]);
    let first = manager(&district, &maps).await;
    first.add("search", Some(backfill(Some(40)))).await.expect("it is added");
    let busy = first.replay("search", backfill(None)).await.expect_err("one runs");
    assert!(matches!(busy, SinkManagerError::Replay(ReplayError::Busy { total: 60, .. })), "{busy}");
    let done = || async {
        let lanes = first.status().await.expect("a status");
        lanes[0].replay.as_ref().map_or(0, |replay| replay.done)
    };
    wait_until("a part to be replayed", DEADLINE, || async { done().await >= 7 }).await;
    first.stop(DEADLINE).await.expect("it stops");
    let part = held(&*maps.get("search")).await.len();
    assert!((7..60).contains(&part), "it was stopped in the middle: {part}");

    let second = manager(&district, &maps).await;
    assert_eq!(wait_replayed(&second, "search").await, 60, "each counted once");
    district.wait_equal(&*maps.get("search")).await;
    assert!(!second.cancel_replay("search").await.expect("an answer"), "none runs");
    second.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn selections_name_documents_types_and_ranges() {
    let district = District::new().await;
    let room = district.bed.homeroom(4).await;
    district.bed.delete("studentSchoolAssociations", room.enrolments[0]).await;
    district.bed.wait_converged().await;
    let total = async |selection: Selection| -> (u64, u64) {
        let counted = count(district.bed.db(), &selection).await.expect("a count");
        (counted.iter().map(|one| one.written).sum(), counted.iter().map(|one| one.deleted).sum())
    };
    // A grade level, a school, a period, four students, three of four enrolments.
    assert_eq!(total(Selection::All).await, (10, 1));
    let key = district
        .bed
        .world
        .mapping
        .resource(district.bed.world.mapping.route("meadow", "students").expect("a type"))
        .key;
    assert_eq!(total(Selection::Resource { resource_key: key }).await, (4, 0));
    assert_eq!(total(Selection::Document { uuid: room.enrolments[0] }).await, (0, 1));
    assert_eq!(total(Selection::Document { uuid: room.enrolments[1] }).await, (1, 0));
    let last: i64 = district.bed.value(r#"SELECT max("OutboxId") FROM "dms"."Outbox""#).await;
    assert_eq!(total(Selection::Outbox { from: last, to: last }).await, (0, 1));
    assert_eq!(total(Selection::Time { from_ms: 0, to_ms: 1 }).await, (0, 0));
    let (written, deleted) = total(Selection::Time { from_ms: 0, to_ms: 4_000_000_000_000 }).await;
    assert_eq!((written >= 11, deleted), (true, 1), "every change record: {written}");
}

/// FRESH, CONVERGE: the cache is emptied and rebuilt.
#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_rebuilt_from_scratch() {
    let district = District::new().await;
    district.bed.homeroom(20).await;
    district.bed.wait_converged().await;
    let before: String = district.bed.value(r#"SELECT max("ComputedAt")::text FROM "dms"."DocumentCache""#).await;
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Arc::new(FileLedger::new(folder.path().join("replay.json")));
    let deps = ReplayDeps {
        aim: Aim::Cache,
        queue: Arc::<MemoryQueue>::clone(&district.queue) as Arc<dyn WorkQueue>,
        ledger,
        database: district.bed.db().clone(),
        clock: Arc::new(SystemClock),
        options: ReplayOptions { page: 3, ..ReplayOptions::default() },
    };
    let replay = Replay::open(deps.clone()).await.expect("it opens");
    let spec = Spec { selection: Selection::All, per_s_max: None, repair: false, empty: true };
    replay.start(spec).await.expect("it starts");
    wait_until("it to be walked", DEADLINE, || async { replay.job().is_some_and(|job| job.state == JobState::Done) })
        .await;
    district.bed.wait_converged().await;
    let sql = format!(r#"SELECT count(*) FROM "dms"."DocumentCache" WHERE "ComputedAt" <= '{before}'"#);
    assert_eq!(district.bed.value::<i64>(&sql).await, 0, "every body is new");
    district.bed.verify().await;
    let again = Replay::open(deps).await.expect("it opens");
    assert_eq!(again.job().map(|job| job.state), Some(JobState::Done), "the file knows");
}

/// A crash between the creation of a lane and its note leaves a lane without a note.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_whose_addition_was_interrupted_is_filled() {
    let district = District::new().await;
    district.bed.homeroom(3).await;
    district.bed.wait_converged().await;
    district.queue.add_lane("cut").await.expect("a lane");
    let maps = Maps::of(&["cut", "empty"]);
    let manager = manager(&district, &maps).await;
    manager.add("empty", None).await.expect("it is added");
    assert!(!manager.fill_if_interrupted("empty").await.expect("an answer"), "it was not to be filled");
    assert!(manager.fill_if_interrupted("cut").await.expect("an answer"));
    assert!(!manager.fill_if_interrupted("cut").await.expect("an answer"), "once");
    district.wait_equal(&*maps.get("cut")).await;
    assert!(held(&*maps.get("empty")).await.is_empty());
    manager.stop(DEADLINE).await.expect("it stops");
}

/// Another process removes a sink and adds it again between two reads of this process.
#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_was_replaced_by_another_of_its_name_is_served() {
    let district = District::new().await;
    let maps = Maps::of(&["search"]);
    let manager = manager(&district, &maps).await;
    manager.add("search", None).await.expect("it is added");
    district.bed.post_student(1, "Ada").await;
    district.wait_equal(&*maps.get("search")).await;
    district.queue.remove_lane("search").await.expect("it is removed");
    district.queue.add_lane("search").await.expect("another lane");
    district.bed.post_student(2, "Bea").await;
    district.wait_equal(&*maps.get("search")).await;
    manager.stop(DEADLINE).await.expect("it stops");
}

/// One sink for all lanes.
struct Only(Arc<ScriptedSink>);

impl SinkFactory for Only {
    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Arc<dyn Sink>, SinkError>> {
        let sink = Arc::<ScriptedSink>::clone(&self.0);
        async move { Ok(sink as Arc<dyn Sink>) }.boxed()
    }
}

/// The in-flight entries of a worker that panicked are delivered by its successor.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_panicked_is_replaced() {
    let district = District::new().await;
    let sink = Arc::new(ScriptedSink::default());
    let manager = manager_of(&district, Arc::new(Only(Arc::clone(&sink)))).await;
    manager.add("search", None).await.expect("it is added");
    sink.set(|script| script.panics = 1);
    for number in 0..20 {
        district.bed.post_student(number, "Ada").await;
    }
    wait_until("the worker to panic", DEADLINE, || async {
        manager.status().await.expect("a status").iter().any(|lane| lane.report.fatal.is_some())
    })
    .await;
    district.wait_equal(&sink.map).await;
    let (lane, _) = manager.get("search").await.expect("a lane");
    wait_until("all to be settled", DEADLINE, || async { lane.stats().await.expect("counters").depth == 0 }).await;
    manager.stop(DEADLINE).await.expect("it stops");
}

/// Stores the job in a file; the first few saves fail as if the queue were unreachable.
struct UnreliableLedger {
    file: FileLedger,
    refusals: AtomicUsize,
}

impl Ledger for UnreliableLedger {
    fn load(&self) -> BoxFuture<'_, Result<Option<Job>, LedgerError>> {
        self.file.load()
    }

    fn save<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), LedgerError>> {
        let refused = self.refusals.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if refused && job.done > 0 {
            let away = QueueError::Unavailable { action: "storing a note", detail: "made for a test".to_owned() };
            return async move { Err(away.into()) }.boxed();
        }
        self.file.save(job)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlasts_an_unreachable_queue() {
    let district = District::new().await;
    district.bed.homeroom(10).await;
    district.bed.wait_converged().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = FileLedger::new(folder.path().join("replay.json"));
    let deps = ReplayDeps {
        aim: Aim::Cache,
        queue: Arc::<MemoryQueue>::clone(&district.queue) as Arc<dyn WorkQueue>,
        ledger: Arc::new(UnreliableLedger { file, refusals: AtomicUsize::new(5) }),
        database: district.bed.db().clone(),
        clock: Arc::new(SystemClock),
        options: ReplayOptions { page: 3, ..ReplayOptions::default() },
    };
    let replay = Replay::open(deps).await.expect("it opens");
    replay.start(backfill(None)).await.expect("it starts");
    wait_until("it to be walked", DEADLINE, || async { replay.job().is_some_and(|job| job.state == JobState::Done) })
        .await;
    district.bed.wait_converged().await;
}
