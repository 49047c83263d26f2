//! From lanes to sinks: what the sinks hold in the end is what the cache holds, whatever they answer on the way.

use super::support::{Bed, HandSource, PATIENCE, PolledSource, period};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::Backoff;
use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::queue::{Lanes, MemoryQueue, WorkQueue};
use millstream_pipeline::sink::{
    Content, Delivery, DocumentKey, Limits, MemorySink, Outcome, RetryCause, Scan, Sink, SinkError,
};
use millstream_pipeline::source::SourceError;
use millstream_projector::delivery::{DeliveryWorker, DeliveryWorkerDeps, DeliveryWorkerHandle, DeliveryWorkerOptions};
use millstream_projector::{Projector, ProjectorHandle};
use millstream_testkit::wait_until;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// A sink that answers as it is told, and otherwise as the map behind it does.
#[derive(Default)]
pub(super) struct Moody {
    pub(super) map: MemorySink,
    pub(super) mood: Mutex<Mood>,
    pub(super) puts: Mutex<Vec<usize>>,
    pub(super) under_way: AtomicUsize,
    /// The most requests that were under way at a time.
    pub(super) busiest: AtomicUsize,
    /// Requests that may be answered yet, if somebody counts them.
    pub(super) answers: Option<Semaphore>,
    /// How often it was prepared, and looked after.
    pub(super) prepared: AtomicUsize,
    pub(super) tended: AtomicUsize,
}

#[derive(Default)]
pub(super) struct Mood {
    /// Nothing can be reached.
    pub(super) away: bool,
    /// The next requests are carried out and not answered.
    pub(super) silent: usize,
    /// The next requests end in a panic.
    pub(super) panics: usize,
    /// The next requests are answered with 429.
    pub(super) busy: usize,
    /// Documents that are refused, by a text in their body.
    pub(super) hated: Option<String>,
}

impl Moody {
    pub(super) fn set(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.mood.lock().expect("nobody panics with the lock"));
    }

    /// The answer that the mood gives instead of the map's.
    fn answer(&self, delivery: &Delivery) -> Option<Outcome> {
        let mood = self.mood.lock().expect("nobody panics with the lock");
        let hated = mood.hated.as_ref().filter(|text| match &delivery.content {
            Content::Document(json) => String::from_utf8_lossy(json).contains(*text),
            Content::Deleted => false,
        });
        match hated {
            _ if mood.away => Some(Outcome::retry(RetryCause::Unavailable, "away")),
            _ if mood.busy > 0 => Some(Outcome::retry(RetryCause::Throttled, "429")),
            Some(text) => Some(Outcome::Rejected { reason: format!("{text} is not welcome") }),
            None => None,
        }
    }
}

impl Sink for Moody {
    fn describe(&self) -> String {
        "a moody map".to_owned()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.prepared.fetch_add(1, Ordering::SeqCst);
        self.map.prepare()
    }

    fn tend(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.tended.fetch_add(1, Ordering::SeqCst);
        let away = self.mood.lock().expect("nobody panics with the lock").away;
        let unavailable = || SinkError::Unavailable { sink: self.describe(), reason: "away".to_owned() };
        std::future::ready(if away { Err(unavailable()) } else { Ok(()) }).boxed()
    }

    fn limits(&self) -> Limits {
        Limits { request_life_max: Duration::from_millis(200), ..self.map.limits() }
    }

    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>> {
        async move {
            self.puts.lock().expect("nobody panics with the lock").push(deliveries.len());
            let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.busiest.fetch_max(under_way, Ordering::SeqCst);
            // Whoever was begun at the same time gets here too.
            tokio::task::yield_now().await;
            let panics = std::mem::take(&mut self.mood.lock().expect("nobody panics with the lock").panics);
            assert!(panics == 0, "made for a test");
            if let Some(answers) = &self.answers {
                answers.acquire().await.expect("never closed").forget();
            }
            let mut outcomes = Vec::with_capacity(deliveries.len());
            for delivery in deliveries {
                outcomes.push(match self.answer(delivery) {
                    Some(outcome) => outcome,
                    None => self.map.put(std::slice::from_ref(delivery)).await.remove(0),
                });
            }
            let mut mood = self.mood.lock().expect("nobody panics with the lock");
            if mood.silent > 0 {
                mood.silent -= 1;
                outcomes.fill(Outcome::retry(RetryCause::Unanswered, "no answer"));
            }
            mood.busy = mood.busy.saturating_sub(1);
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            outcomes
        }
        .boxed()
    }

    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>> {
        self.map.fetch(keys)
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        self.map.scan()
    }
}

/// A bed with a queue that has lanes.
pub(super) struct Town {
    pub(super) bed: Bed,
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) projector: ProjectorHandle,
}

impl Town {
    pub(super) async fn new() -> Self {
        let bed = Bed::new().await;
        let queue = bed.queue();
        let stage = Arc::<MemoryQueue>::clone(&queue) as Arc<dyn WorkQueue>;
        let projector = Projector::start(bed.deps(stage, PolledSource::factory(bed.db())));
        Self { bed, queue, projector }
    }

    pub(super) async fn lane(&self, name: &str) -> Arc<dyn WorkQueue> {
        self.queue.add_lane(name).await.expect("a lane")
    }

    pub(super) async fn courier(&self, name: &str, sink: Arc<dyn Sink>) -> DeliveryWorkerHandle {
        let ms = Duration::from_millis;
        DeliveryWorker::start(DeliveryWorkerDeps {
            name: name.to_owned(),
            lane: self.lane(name).await,
            sink,
            database: self.bed.db().clone(),
            clock: Arc::new(SystemClock),
            options: DeliveryWorkerOptions {
                poison_backoff: Backoff { base: ms(5), ceiling: ms(20) },
                outage_backoff: Backoff { base: ms(5), ceiling: ms(20) },
                uncached_pause: ms(5),
                tend_interval: ms(20),
                ..DeliveryWorkerOptions::default()
            },
        })
    }

    /// What the cache holds, as a GET would show it.
    async fn cached(&self) -> BTreeMap<Uuid, i64> {
        let client = self.bed.db().get().await.expect("a connection");
        let sql = r#"SELECT "DocumentUuid", "ContentVersion" FROM "dms"."DocumentCache""#;
        client.query(sql, &[]).await.expect("rows").iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub(super) async fn wait_equal(&self, sink: &dyn Sink) {
        self.bed.wait_converged().await;
        wait_until("the sink to hold what the cache holds", PATIENCE, || async {
            held(sink).await == self.cached().await
        })
        .await;
    }
}

/// Documents that a sink holds, with the version in their etag.
pub(super) async fn held(sink: &dyn Sink) -> BTreeMap<Uuid, i64> {
    let mut scan = sink.scan().await.expect("a scan");
    let mut held = HashMap::new();
    loop {
        let page = scan.next().await.expect("a page");
        if page.is_empty() {
            return held.into_iter().collect();
        }
        for one in page {
            match &one.content {
                Content::Document(json) => {
                    let body: serde_json::Value = serde_json::from_slice(json).expect("JSON");
                    assert_eq!(body["id"], one.uuid.to_string());
                    assert_eq!(body["_etag"], one.version.expect("a version").to_string());
                    held.insert(one.uuid, one.version.expect("a version"));
                }
                Content::Deleted => drop(held.remove(&one.uuid)),
            }
        }
    }
}

/// CONVERGE, ISOLATED: edits, a rename with its cascade, and deletes, with one sink away all the time.
#[tokio::test(flavor = "multi_thread")]
async fn every_sink_gets_everything_at_its_own_pace() {
    let town = Town::new().await;
    let (quick, slow) = (Arc::new(MemorySink::default()), Arc::new(Moody::default()));
    slow.set(|mood| mood.away = true);
    let first = town.courier("quick", Arc::<MemorySink>::clone(&quick)).await;
    let second = town.courier("slow", Arc::<Moody>::clone(&slow)).await;

    let room = town.bed.homeroom(5).await;
    for round in 0..20 {
        town.bed.post_student(0, &format!("Ada {round}")).await;
    }
    town.bed.put("classPeriods", room.period, period("renamed")).await;
    town.bed.delete("studentSchoolAssociations", room.enrolments[1]).await;
    town.wait_equal(&*quick).await;

    let documents = 1 + town.cached().await.len() as u64;
    let waiting = second.status().await.expect("a status");
    assert!(waiting.depth <= documents, "one entry a document, however often it was edited: {waiting:#?}");
    assert_eq!((waiting.delivered, waiting.quarantined), (0, 0), "nobody is to blame: {waiting:#?}");
    assert!(waiting.last_error.is_some_and(|error| error.text.ends_with("away")));

    slow.set(|mood| mood.away = false);
    town.wait_equal(&slow.map).await;
    let done = second.status().await.expect("a status");
    assert!(done.delivered >= documents, "{done:#?}");
    first.stop(PATIENCE).await.expect("it stops");
    second.stop(PATIENCE).await.expect("it stops");
    town.projector.stop(PATIENCE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_document_waits_alone_and_a_newer_version_goes_through() {
    let town = Town::new().await;
    let sink = Arc::new(Moody::default());
    sink.set(|mood| mood.hated = Some("Grim".to_owned()));
    let courier = town.courier("search", Arc::<Moody>::clone(&sink)).await;
    let grim = town.bed.post_student(1, "Grim").await;
    for number in 2..30 {
        town.bed.post_student(number, "Ada").await;
    }
    let lane = town.lane("search").await;
    wait_until("it to be in quarantine", PATIENCE, || async { lane.stats().await.expect("figures").quarantined == 1 })
        .await;
    wait_until("all others to be delivered", PATIENCE, || async { held(&sink.map).await.len() >= 28 }).await;
    let quarantined = lane.quarantined(None, 10).await.expect("a list");
    assert_eq!(quarantined[0].work.document_uuid, grim.uuid);
    assert!(quarantined[0].reason.starts_with("Grim is not welcome ("), "{:?}", quarantined[0].reason);

    let friendly = town.bed.post_student(1, "Glad").await;
    wait_until("the newer version to be delivered", PATIENCE, || async {
        held(&sink.map).await.get(&grim.uuid) == Some(&friendly.version)
    })
    .await;
    assert_eq!(lane.stats().await.expect("figures").quarantined, 0, "it clears by itself");
    courier.stop(PATIENCE).await.expect("it stops");
}

/// RECOVERABLE: what was deleted while the stream was lost is in no comparison of the cache; the copies hear of it anyway.
#[tokio::test(flavor = "multi_thread")]
async fn deletes_of_a_lost_stretch_reach_the_sinks() {
    let town = Town::new().await;
    let sink = Arc::new(MemorySink::default());
    let courier = town.courier("search", Arc::<MemorySink>::clone(&sink)).await;
    let room = town.bed.homeroom(3).await;
    town.wait_equal(&*sink).await;
    town.projector.stop(PATIENCE).await.expect("it stops");

    let gone = room.enrolments[1];
    town.bed.delete("studentSchoolAssociations", gone).await;
    town.bed.execute(r#"DELETE FROM "dms"."Outbox""#).await;
    let lost = HandSource::default();
    lost.refuse(SourceError::Lost { what: "slot".to_owned(), detail: "made for a test".to_owned() });
    let stage = Arc::<MemoryQueue>::clone(&town.queue) as Arc<dyn WorkQueue>;
    let projector = Projector::start(town.bed.deps(stage, Arc::new(lost)));
    wait_until("the delete to arrive", PATIENCE, || async { !held(&*sink).await.contains_key(&gone) }).await;
    projector.stop(PATIENCE).await.expect("it stops");
    courier.stop(PATIENCE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_goes_on_where_the_last_one_stopped() {
    let town = Town::new().await;
    town.lane("search").await;
    for number in 0..50 {
        town.bed.post_student(number, "Ada").await;
    }
    town.bed.wait_converged().await;
    let sink = Arc::new(MemorySink::default());
    for _ in 0..3 {
        let courier = town.courier("search", Arc::<MemorySink>::clone(&sink)).await;
        town.bed.post_student(0, "Edited").await;
        courier.stop(PATIENCE).await.expect("it stops");
    }
    let courier = town.courier("search", Arc::<MemorySink>::clone(&sink)).await;
    town.wait_equal(&*sink).await;
    courier.stop(PATIENCE).await.expect("it stops");
}

/// A body that is not cached any more is waited for, and the rebuild brings it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_cached_is_waited_for() {
    let town = Town::new().await;
    town.lane("search").await;
    let student = town.bed.post_student(1, "Ada").await;
    town.bed.wait_converged().await;
    // The comparison of the first start would notice what is missing, and so would an entry that is still owed.
    town.bed.wait_followed(&*town.queue).await;
    // Whichever of the comparison and the stream is the second finds the document cached already.
    wait_until("the change to arrive", PATIENCE, || async {
        town.projector.status().await.expect("a status").source.changes > 0
    })
    .await;
    wait_until("nothing to be owed", PATIENCE, || async { town.queue.stats().await.expect("figures").depth == 0 })
        .await;
    town.bed.execute(r#"TRUNCATE "dms"."DocumentCache""#).await;
    let sink = Arc::new(MemorySink::default());
    let courier = town.courier("search", Arc::<MemorySink>::clone(&sink)).await;
    wait_until("the courier to look", PATIENCE, || async { courier.status().await.expect("a status").retried > 0 })
        .await;
    assert!(held(&*sink).await.is_empty());
    let edited = town.bed.post_student(1, "Bea").await;
    wait_until("the document to arrive", PATIENCE, || async {
        held(&*sink).await.get(&student.uuid) == Some(&edited.version)
    })
    .await;
    courier.stop(PATIENCE).await.expect("it stops");
}
