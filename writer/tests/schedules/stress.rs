//! Random stress: edits, re-points, renames, deletes and inserts on a few hubs with many referrers, with strict and
//! cascading renames, cascade workers, a reader and a projector.
//!
//! Checks MONOTONIC, ATOMIC, IDENTITY and EDGES, that no version of a document has two bodies, and that transactions do
//! not deadlock.

use crate::support::{Fixture, Observer, wheel};
use millstream_projector::cascade::stamp_page;
use millstream_store::connect::{ConnectOptions, Database, PoolOptions, SessionSettings};
use millstream_writer::{BatchOptions, EtagMatch, Preconditions, WriteError, Writer, WriterOptions, Written};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uuid::Uuid;

const BUDGET: Duration = Duration::from_secs(10);
const WRITERS: u64 = 8;
const SEED: u64 = 7;
/// Minimum number of committed writes. Fewer within the budget mean that writers wait unnecessarily.
const COMMITTED_MIN: u32 = 200;
/// Minimum number of complete observations.
const OBSERVATIONS_MIN: u32 = 10;
/// Maximum percentage of writes that give up because of concurrent writes.
const BUSY_PERCENT_MAX: u32 = 5;
/// Number of hub names. It is small, so that names collide.
const NAMES: usize = 12;
const HUBS: usize = 3;
const SPOKES: usize = 3;
const RIMS: usize = 10;

/// The documents that all clients change.
struct StressDocuments {
    fixture: Fixture,
    hubs: Vec<Uuid>,
    spokes: Vec<Uuid>,
    rims: Mutex<Vec<Uuid>>,
    inserted: Mutex<Vec<Uuid>>,
    counts: Mutex<BTreeMap<String, u32>>,
}

/// One client.
struct Client {
    documents: Arc<StressDocuments>,
    random: StdRng,
    /// Writers whose renames are strict for up to 0, 1 or 1,000 referrers.
    writers: Vec<Writer>,
    name: u64,
    writes: u32,
}

impl StressDocuments {
    async fn new() -> Self {
        let fixture = wheel().await;
        let (mut hubs, mut spokes, mut rims) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..HUBS {
            hubs.push(fixture.post("hubs", json!({"hubName": format!("name {at}")})).await.uuid);
        }
        for at in 0..SPOKES {
            let hub = json!({"hubName": format!("name {}", at % HUBS)});
            spokes.push(
                fixture.post("spokes", json!({"spokeName": format!("spoke {at}"), "hubReference": hub})).await.uuid,
            );
        }
        for at in 0..RIMS {
            rims.push(fixture.post("rims", json!({"rimId": format!("rim {at}")})).await.uuid);
        }
        Self { fixture, hubs, spokes, rims: Mutex::new(rims), inserted: Mutex::default(), counts: Mutex::default() }
    }

    fn count(&self, what: &str) {
        *self.counts.lock().expect("unpoisoned").entry(what.to_owned()).or_default() += 1;
    }

    fn counted(&self, what: &str) -> u32 {
        self.counts.lock().expect("unpoisoned").get(what).copied().unwrap_or_default()
    }

    async fn read(&self, endpoint: &str, id: Uuid) -> Option<(i64, Value)> {
        let read = self.fixture.read(endpoint, id).await?;
        Some((read.version, serde_json::from_slice(&read.body).expect("JSON")))
    }
}

impl Client {
    async fn work(mut self, until: Instant) {
        while Instant::now() < until {
            self.writes += 1;
            let (operation, result) = match self.random.random_range(0..100) {
                0..35 => ("edit of a rim", self.edit_rim().await),
                35..50 => ("edit of a hub or spoke", self.edit_hub().await),
                50..70 => ("rename of a hub", self.rename_hub().await),
                70..80 => ("rename or move of a spoke", self.move_spoke().await),
                80..90 => ("new rim", self.insert().await),
                90..98 => ("delete of a rim", self.delete_rim().await),
                _ => ("delete of a hub", self.delete_hub().await),
            };
            let outcome = match result {
                Some(Ok(written)) => {
                    self.documents.count(operation);
                    format!("{:?}", written.outcome).to_lowercase()
                }
                None => "document was gone".to_owned(),
                Some(Err(error)) => refusal(&error).to_owned(),
            };
            self.documents.count(&outcome);
        }
    }

    fn writer(&mut self) -> Writer {
        self.writers.choose(&mut self.random).expect("three writers").clone()
    }

    fn note(&self) -> Value {
        json!(format!("{} wrote {}", self.name, self.writes))
    }

    async fn hub_reference(&mut self) -> Option<Value> {
        let hub = *self.documents.hubs.choose(&mut self.random)?;
        let (_, body) = self.documents.read("hubs", hub).await?;
        Some(json!({"hubName": body["hubName"]}))
    }

    async fn spoke_reference(&mut self) -> Option<Value> {
        let spoke = *self.documents.spokes.choose(&mut self.random)?;
        let (_, body) = self.documents.read("spokes", spoke).await?;
        Some(json!({"hubName": body["hubReference"]["hubName"], "spokeName": body["spokeName"]}))
    }

    /// Sets or removes each reference of a rim, at random.
    async fn set_references(&mut self, body: &mut Value) -> Option<()> {
        for member in ["firstHubReference", "secondHubReference"] {
            body[member] = if self.random.random() { self.hub_reference().await? } else { Value::Null };
        }
        body["spokeReference"] = if self.random.random() { self.spoke_reference().await? } else { Value::Null };
        Some(())
    }

    fn rim(&mut self) -> Option<Uuid> {
        self.documents.rims.lock().expect("unpoisoned").choose(&mut self.random).copied()
    }

    async fn edit_rim(&mut self) -> Option<Result<Written, WriteError>> {
        let id = self.rim()?;
        let (version, mut body) = self.documents.read("rims", id).await?;
        body["note"] = self.note();
        if self.random.random() {
            self.set_references(&mut body).await?;
        }
        let version = self.random.random::<bool>().then_some(version);
        Some(self.put("rims", id, body, version).await)
    }

    async fn edit_hub(&mut self) -> Option<Result<Written, WriteError>> {
        let (endpoint, id) = match self.random.random() {
            true => ("hubs", *self.documents.hubs.choose(&mut self.random)?),
            false => ("spokes", *self.documents.spokes.choose(&mut self.random)?),
        };
        let (version, mut body) = self.documents.read(endpoint, id).await?;
        body["note"] = self.note();
        if endpoint == "spokes" {
            body["guideHubReference"] = if self.random.random() { self.hub_reference().await? } else { Value::Null };
        }
        Some(self.put(endpoint, id, body, Some(version)).await)
    }

    async fn rename_hub(&mut self) -> Option<Result<Written, WriteError>> {
        let id = *self.documents.hubs.choose(&mut self.random)?;
        let (_, mut body) = self.documents.read("hubs", id).await?;
        body["hubName"] = json!(format!("name {}", self.random.random_range(0..NAMES)));
        Some(self.put("hubs", id, body, None).await)
    }

    async fn move_spoke(&mut self) -> Option<Result<Written, WriteError>> {
        let id = *self.documents.spokes.choose(&mut self.random)?;
        let (_, mut body) = self.documents.read("spokes", id).await?;
        match self.random.random() {
            true => body["spokeName"] = json!(format!("spoke {}", self.random.random_range(0..NAMES))),
            false => body["hubReference"] = self.hub_reference().await?,
        }
        Some(self.put("spokes", id, body, None).await)
    }

    async fn insert(&mut self) -> Option<Result<Written, WriteError>> {
        let mut body = json!({"rimId": format!("rim {} of {}", self.writes, self.name), "note": self.note()});
        self.set_references(&mut body).await?;
        let (writer, resource) = (self.writer(), self.documents.fixture.resource("rims"));
        let result = writer.post(resource, body.to_string().as_bytes(), &Preconditions::default()).await;
        if let Ok(written) = &result {
            self.documents.rims.lock().expect("unpoisoned").push(written.uuid);
            self.documents.inserted.lock().expect("unpoisoned").push(written.uuid);
        }
        Some(result)
    }

    async fn delete_rim(&mut self) -> Option<Result<Written, WriteError>> {
        let id = {
            let mut rims = self.documents.rims.lock().expect("unpoisoned");
            if rims.len() <= RIMS / 2 {
                return None;
            }
            let at = self.random.random_range(0..rims.len());
            rims.swap_remove(at)
        };
        Some(self.writer().delete(self.documents.fixture.resource("rims"), id, &Preconditions::default()).await)
    }

    /// Tries to delete a hub. The writer nearly always refuses because of referrers; otherwise one hub fewer remains.
    async fn delete_hub(&mut self) -> Option<Result<Written, WriteError>> {
        let id = *self.documents.hubs.choose(&mut self.random)?;
        Some(self.writer().delete(self.documents.fixture.resource("hubs"), id, &Preconditions::default()).await)
    }

    async fn put(
        &mut self,
        endpoint: &str,
        id: Uuid,
        mut body: Value,
        version: Option<i64>,
    ) -> Result<Written, WriteError> {
        body["id"] = json!(id.to_string());
        let when = Preconditions { if_match: version.map(|v| EtagMatch::Versions(vec![v])), if_none_match: None };
        let (writer, resource) = (self.writer(), self.documents.fixture.resource(endpoint));
        writer.put(resource, id, body.to_string().as_bytes(), &when).await
    }
}

/// Returns the name of a refusal that concurrent writes may cause. Panics on any other error.
fn refusal(error: &WriteError) -> &'static str {
    match error {
        WriteError::UnresolvedReference { .. } => "unresolved reference",
        WriteError::IdentityConflict { .. } => "identity taken",
        WriteError::DependentItemExists { .. } => "still referred to",
        WriteError::PreconditionFailed => "precondition failed",
        WriteError::NotFound => "not found",
        WriteError::Busy { .. } => "busy",
        other => panic!("unexpected refusal: {other:?}"),
    }
}

/// Observes all documents repeatedly. The observer also acts as a slow projector.
async fn observe(documents: &StressDocuments, until: Instant) -> (Observer, u32) {
    let hubs = documents.hubs.iter().map(|id| ("hubs", *id));
    let spokes = documents.spokes.iter().map(|id| ("spokes", *id));
    let rims = documents.rims.lock().expect("unpoisoned").clone();
    let mut observer = Observer::of(hubs.chain(spokes).chain(rims.into_iter().map(|id| ("rims", id))));
    let mut observations = 0;
    while Instant::now() < until {
        for id in std::mem::take(&mut *documents.inserted.lock().expect("unpoisoned")) {
            observer.watch("rims", id);
        }
        observer.observe(&documents.fixture).await;
        observations += 1;
    }
    (observer, observations)
}

async fn work_off(database: Database, until: Instant) {
    while Instant::now() < until {
        // Two referrers per page, so that cascades stay open while the other tasks write.
        if stamp_page(&database, 2).await.expect("a page").is_none() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_writes_leave_consistent_data() {
    stress(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_writes_in_batches_leave_consistent_data() {
    stress(true).await;
}

/// With batching, all clients share the lanes of each writer.
async fn stress(batching: bool) {
    let documents = Arc::new(StressDocuments::new().await);
    let database = Database::connect(&options_of(&documents.fixture), WRITERS as usize + 2).await.expect("a pool");
    let until = Instant::now() + BUDGET;
    let mut tasks = Vec::new();
    let writers = [0, 1, 1_000].map(|strict_max| {
        let options = WriterOptions { strict_max, ..WriterOptions::default() };
        let writer = Writer::new(database.clone(), Arc::clone(&documents.fixture.mapping), options);
        let writer = writer.expect("a writer");
        if !batching {
            return writer;
        }
        let settings = SessionSettings { lock_timeout: Some(Duration::from_millis(250)), ..SessionSettings::default() };
        let pool = PoolOptions { settings, ..PoolOptions::of_size(2) };
        let lanes = Database::new(&options_of(&documents.fixture), pool).expect("a pool");
        let (writer, lanes) = writer.batching(lanes, BatchOptions::default());
        tokio::spawn(lanes.run());
        writer
    });
    for name in 0..WRITERS {
        let random = StdRng::seed_from_u64(SEED + name);
        let writers = writers.to_vec();
        let client = Client { documents: Arc::clone(&documents), random, writers, name, writes: 0 };
        tasks.push(tokio::spawn(client.work(until)));
    }
    for _ in 0..2 {
        tasks.push(tokio::spawn(work_off(database.clone(), until)));
    }
    drop(writers);
    let (mut observer, observations) = observe(&documents, until).await;
    for task in tasks {
        task.await.expect("no task panicked");
    }
    documents.fixture.work_off_cascades().await;
    observer.finish(&documents.fixture).await;
    documents.fixture.check().await;
    report(&documents, observations);
    assert_eq!(deadlocks(&documents.fixture, database).await, 0, "transactions deadlocked");
}

fn options_of(fixture: &Fixture) -> ConnectOptions {
    fixture.test_database().options().clone().with_application_name("stress")
}

fn report(documents: &StressDocuments, observations: u32) {
    let counts = documents.counts.lock().expect("unpoisoned").clone();
    #[allow(clippy::print_stderr, reason = "tests report progress on stderr")]
    {
        eprintln!("{WRITERS} writers for {BUDGET:?}, seed {SEED}, {observations} observations: {counts:#?}");
    }
    let committed = ["created", "updated", "deleted"].map(|outcome| documents.counted(outcome)).iter().sum::<u32>();
    assert!(committed >= COMMITTED_MIN, "only {committed} writes committed");
    assert!(observations >= OBSERVATIONS_MIN, "only {observations} observations");
    for outcome in ["created", "updated", "deleted", "unresolved reference", "identity taken", "precondition failed"] {
        assert!(documents.counted(outcome) > 0, "no write had the outcome {outcome}");
    }
    let busy = documents.counted("busy");
    assert!(busy * 100 <= committed * BUSY_PERCENT_MAX, "{busy} of {committed} gave up");
}

/// Returns the number of deadlocks in this database. Sessions report their statistics when they end.
async fn deadlocks(fixture: &Fixture, database: Database) -> i64 {
    database.close();
    drop(database);
    let sql = r#"SELECT count(*) FROM pg_stat_activity WHERE "application_name" = 'stress'"#;
    let ended = || async { fixture.value::<i64>(sql, &[]).await == 0 };
    millstream_testkit::wait_until("the sessions to end", crate::support::TIMEOUT, ended).await;
    fixture.value(r#"SELECT "deadlocks" FROM pg_stat_database WHERE "datname" = current_database()"#, &[]).await
}
