//! From lanes to sinks: every sink ends up equal to the cache, whatever outcomes it returns on the way.

use super::support::{Bed, DEADLINE, HandSource, PolledSource, period};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::Backoff;
use millstream_pipeline::clock::SystemClock;
use millstream_pipeline::memory::MemoryBudget;
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

/// A sink with scripted outcomes; without a script its map decides.
#[derive(Default)]
pub(super) struct ScriptedSink {
    pub(super) map: MemorySink,
    pub(super) script: Mutex<SinkScript>,
    pub(super) puts: Mutex<Vec<usize>>,
    pub(super) under_way: AtomicUsize,
    /// The most requests in flight at a time.
    pub(super) busiest: AtomicUsize,
    /// Permits for answering requests, if they are limited.
    pub(super) answers: Option<Semaphore>,
    /// Calls of `prepare` and `tend`.
    pub(super) prepared: AtomicUsize,
    pub(super) tended: AtomicUsize,
}

#[derive(Default)]
pub(super) struct SinkScript {
    /// The sink is unreachable.
    pub(super) away: bool,
    /// The next requests are carried out and time out.
    pub(super) timeouts: usize,
    /// The next requests panic.
    pub(super) panics: usize,
    /// The next requests are answered with 429.
    pub(super) throttled: usize,
    /// Documents with this text in their body are rejected.
    pub(super) rejected_text: Option<String>,
}

impl ScriptedSink {
    pub(super) fn set(&self, change: impl FnOnce(&mut SinkScript)) {
        change(&mut self.script.lock().expect("not poisoned"));
    }

    /// Returns the scripted outcome, if there is one.
    fn answer(&self, delivery: &Delivery) -> Option<Outcome> {
        let script = self.script.lock().expect("not poisoned");
        let rejected = script.rejected_text.as_ref().filter(|text| match &delivery.content {
            Content::Document(json) => String::from_utf8_lossy(json).contains(*text),
            Content::Deleted => false,
        });
        match rejected {
            _ if script.away => Some(Outcome::retry(RetryCause::Unavailable, "away")),
            _ if script.throttled > 0 => Some(Outcome::retry(RetryCause::Throttled, "429")),
            Some(text) => Some(Outcome::Rejected { reason: format!("{text} is not welcome") }),
            None => None,
        }
    }
}

impl Sink for ScriptedSink {
    fn describe(&self) -> String {
        "a scripted sink".to_owned()
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.prepared.fetch_add(1, Ordering::SeqCst);
        self.map.prepare()
    }

    fn tend(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.tended.fetch_add(1, Ordering::SeqCst);
        let away = self.script.lock().expect("not poisoned").away;
        let unavailable = || SinkError::Unavailable { sink: self.describe(), reason: "away".to_owned() };
        std::future::ready(if away { Err(unavailable()) } else { Ok(()) }).boxed()
    }

    fn limits(&self) -> Limits {
        Limits { request_life_max: Duration::from_millis(200), ..self.map.limits() }
    }

    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>> {
        async move {
            self.puts.lock().expect("not poisoned").push(deliveries.len());
            let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.busiest.fetch_max(under_way, Ordering::SeqCst);
            // Requests started at the same time get here too.
            tokio::task::yield_now().await;
            let panics = std::mem::take(&mut self.script.lock().expect("not poisoned").panics);
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
            let mut script = self.script.lock().expect("not poisoned");
            if script.timeouts > 0 {
                script.timeouts -= 1;
                outcomes.fill(Outcome::retry(RetryCause::Unanswered, "no answer"));
            }
            script.throttled = script.throttled.saturating_sub(1);
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

/// A district: a bed with a running projector and a queue with lanes.
pub(super) struct District {
    pub(super) bed: Bed,
    pub(super) memory: MemoryBudget,
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) projector: ProjectorHandle,
}

impl District {
    pub(super) async fn new() -> Self {
        let bed = Bed::new().await;
        let queue = bed.queue();
        let cache_queue = Arc::<MemoryQueue>::clone(&queue) as Arc<dyn WorkQueue>;
        let projector = Projector::start(bed.deps(cache_queue, PolledSource::factory(bed.db())));
        Self { bed, memory: MemoryBudget::default(), queue, projector }
    }

    pub(super) async fn lane(&self, name: &str) -> Arc<dyn WorkQueue> {
        self.queue.add_lane(name).await.expect("a lane")
    }

    pub(super) async fn worker(&self, name: &str, sink: Arc<dyn Sink>) -> DeliveryWorkerHandle {
        let ms = Duration::from_millis;
        DeliveryWorker::start(DeliveryWorkerDeps {
            name: name.to_owned(),
            lane: self.lane(name).await,
            sink,
            database: self.bed.db().clone(),
            memory: self.memory.clone(),
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

    /// The cached versions by public id.
    async fn cached(&self) -> BTreeMap<Uuid, i64> {
        let client = self.bed.db().get().await.expect("a connection");
        let sql = r#"SELECT "DocumentUuid", "ContentVersion" FROM "dms"."DocumentCache""#;
        client.query(sql, &[]).await.expect("rows").iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    pub(super) async fn wait_equal(&self, sink: &dyn Sink) {
        self.bed.wait_converged().await;
        wait_until("the sink to hold what the cache holds", DEADLINE, || async {
            held(sink).await == self.cached().await
        })
        .await;
    }
}

/// Documents in a sink, with the version in their etag.
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

/// CONVERGE, ISOLATED: edits, a rename with its cascade, and deletes, with one sink unreachable all the time.
#[tokio::test(flavor = "multi_thread")]
async fn every_sink_gets_everything_independently_of_the_others() {
    let district = District::new().await;
    let (quick, slow) = (Arc::new(MemorySink::default()), Arc::new(ScriptedSink::default()));
    slow.set(|script| script.away = true);
    let first = district.worker("quick", Arc::<MemorySink>::clone(&quick)).await;
    let second = district.worker("slow", Arc::<ScriptedSink>::clone(&slow)).await;

    let room = district.bed.homeroom(5).await;
    for round in 0..20 {
        district.bed.post_student(0, &format!("Ada {round}")).await;
    }
    district.bed.put("classPeriods", room.period, period("renamed")).await;
    district.bed.delete("studentSchoolAssociations", room.enrolments[1]).await;
    district.wait_equal(&*quick).await;

    let documents = 1 + district.cached().await.len() as u64;
    let waiting = second.status().await.expect("a status");
    assert!(waiting.depth <= documents, "one entry per document, however often it was edited: {waiting:#?}");
    assert_eq!((waiting.delivered, waiting.quarantined), (0, 0), "no document is charged an attempt: {waiting:#?}");
    assert!(waiting.last_error.is_some_and(|error| error.text.ends_with("away")));

    slow.set(|script| script.away = false);
    district.wait_equal(&slow.map).await;
    let done = second.status().await.expect("a status");
    assert!(done.delivered >= documents, "{done:#?}");
    first.stop(DEADLINE).await.expect("it stops");
    second.stop(DEADLINE).await.expect("it stops");
    district.projector.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_document_waits_alone_and_a_newer_version_goes_through() {
    let district = District::new().await;
    let sink = Arc::new(ScriptedSink::default());
    sink.set(|script| script.rejected_text = Some("Grim".to_owned()));
    let worker = district.worker("search", Arc::<ScriptedSink>::clone(&sink)).await;
    let grim = district.bed.post_student(1, "Grim").await;
    for number in 2..30 {
        district.bed.post_student(number, "Ada").await;
    }
    let lane = district.lane("search").await;
    wait_until("it to be in quarantine", DEADLINE, || async { lane.stats().await.expect("counters").quarantined == 1 })
        .await;
    wait_until("all others to be delivered", DEADLINE, || async { held(&sink.map).await.len() >= 28 }).await;
    let quarantined = lane.quarantined(None, 10).await.expect("a list");
    assert_eq!(quarantined[0].work.document_uuid, grim.uuid);
    assert!(quarantined[0].reason.starts_with("Grim is not welcome ("), "{:?}", quarantined[0].reason);

    let friendly = district.bed.post_student(1, "Glad").await;
    wait_until("the newer version to be delivered", DEADLINE, || async {
        held(&sink.map).await.get(&grim.uuid) == Some(&friendly.version)
    })
    .await;
    assert_eq!(lane.stats().await.expect("counters").quarantined, 0, "it clears by itself");
    worker.stop(DEADLINE).await.expect("it stops");
}

/// RECOVERABLE: deletes during a gap of the stream are in no comparison of the cache; the sinks get them anyway.
#[tokio::test(flavor = "multi_thread")]
async fn deletes_of_a_lost_stretch_reach_the_sinks() {
    let district = District::new().await;
    let sink = Arc::new(MemorySink::default());
    let worker = district.worker("search", Arc::<MemorySink>::clone(&sink)).await;
    let room = district.bed.homeroom(3).await;
    district.wait_equal(&*sink).await;
    district.projector.stop(DEADLINE).await.expect("it stops");

    let gone = room.enrolments[1];
    district.bed.delete("studentSchoolAssociations", gone).await;
    district.bed.execute(r#"DELETE FROM "dms"."Outbox""#).await;
    let lost = HandSource::default();
    lost.refuse(SourceError::Lost { what: "slot".to_owned(), detail: "made for a test".to_owned() });
    let cache_queue = Arc::<MemoryQueue>::clone(&district.queue) as Arc<dyn WorkQueue>;
    let projector = Projector::start(district.bed.deps(cache_queue, Arc::new(lost)));
    wait_until("the delete to arrive", DEADLINE, || async { !held(&*sink).await.contains_key(&gone) }).await;
    projector.stop(DEADLINE).await.expect("it stops");
    worker.stop(DEADLINE).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_resumes_where_the_last_one_stopped() {
    let district = District::new().await;
    district.lane("search").await;
    for number in 0..50 {
        district.bed.post_student(number, "Ada").await;
    }
    district.bed.wait_converged().await;
    let sink = Arc::new(MemorySink::default());
    for _ in 0..3 {
        let worker = district.worker("search", Arc::<MemorySink>::clone(&sink)).await;
        district.bed.post_student(0, "Edited").await;
        worker.stop(DEADLINE).await.expect("it stops");
    }
    let worker = district.worker("search", Arc::<MemorySink>::clone(&sink)).await;
    district.wait_equal(&*sink).await;
    worker.stop(DEADLINE).await.expect("it stops");
}

/// A body that is not cached is waited for until the rebuild stores it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_cached_is_waited_for() {
    let district = District::new().await;
    district.lane("search").await;
    let student = district.bed.post_student(1, "Ada").await;
    district.bed.wait_converged().await;
    // The resync of the first start would rebuild a missing body, and so would a pending entry.
    district.bed.wait_followed(&*district.queue).await;
    // Of resync and stream, the second finds the document cached.
    wait_until("the change to arrive", DEADLINE, || async {
        district.projector.status().await.expect("a status").source.changes > 0
    })
    .await;
    wait_until("the queue to be empty", DEADLINE, || async {
        district.queue.stats().await.expect("counters").depth == 0
    })
    .await;
    district.bed.execute(r#"TRUNCATE "dms"."DocumentCache""#).await;
    let sink = Arc::new(MemorySink::default());
    let worker = district.worker("search", Arc::<MemorySink>::clone(&sink)).await;
    wait_until("the worker to retry", DEADLINE, || async { worker.status().await.expect("a status").retried > 0 })
        .await;
    assert!(held(&*sink).await.is_empty());
    let edited = district.bed.post_student(1, "Bea").await;
    wait_until("the document to arrive", DEADLINE, || async {
        held(&*sink).await.get(&student.uuid) == Some(&edited.version)
    })
    .await;
    worker.stop(DEADLINE).await.expect("it stops");
}
