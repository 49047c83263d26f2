//! Everything at once, at random: edits, re-points, renames, deletes and inserts on a few hubs that everybody refers to,
//! with every way of bringing referrers up to date, with cascade workers, and with a reader and a projector all the time.
//!
//! Proves MONOTONIC, ATOMIC, IDENTITY, EDGES and the uniqueness of labels; and that no two transactions deadlock.

use crate::support::{Bed, Observer, wheel};
use millstream_projector::cascade::work_off_page;
use millstream_store::connect::Database;
use millstream_writer::{EtagMatch, Preconditions, WriteError, Writer, WriterOptions, Written};
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
/// Committed writes. Fewer in the budget means that something waits for what it should not.
const COMMITTED_MIN: u32 = 200;
/// Looks of the observer at everything.
const LOOKS_MIN: u32 = 10;
/// Of a hundred writes, how many may give up because of others.
const BUSY_PERCENT_MAX: u32 = 5;
/// Names for hubs: few, so that they collide.
const NAMES: usize = 12;
const HUBS: usize = 3;
const SPOKES: usize = 3;
const RIMS: usize = 10;

/// The documents that everybody works on.
struct Fleet {
    bed: Bed,
    hubs: Vec<Uuid>,
    spokes: Vec<Uuid>,
    rims: Mutex<Vec<Uuid>>,
    born: Mutex<Vec<Uuid>>,
    tally: Mutex<BTreeMap<String, u32>>,
}

/// One client.
struct Client {
    fleet: Arc<Fleet>,
    random: StdRng,
    /// Stamping none, one, or all referrers themselves.
    writers: Vec<Writer>,
    name: u64,
    writes: u32,
}

impl Fleet {
    async fn new() -> Self {
        let bed = wheel().await;
        let (mut hubs, mut spokes, mut rims) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..HUBS {
            hubs.push(bed.post("hubs", json!({"hubName": format!("name {at}")})).await.uuid);
        }
        for at in 0..SPOKES {
            let hub = json!({"hubName": format!("name {}", at % HUBS)});
            spokes
                .push(bed.post("spokes", json!({"spokeName": format!("spoke {at}"), "hubReference": hub})).await.uuid);
        }
        for at in 0..RIMS {
            rims.push(bed.post("rims", json!({"rimId": format!("rim {at}")})).await.uuid);
        }
        Self { bed, hubs, spokes, rims: Mutex::new(rims), born: Mutex::default(), tally: Mutex::default() }
    }

    fn count(&self, what: &str) {
        *self.tally.lock().expect("unpoisoned").entry(what.to_owned()).or_default() += 1;
    }

    fn tallied(&self, what: &str) -> u32 {
        self.tally.lock().expect("unpoisoned").get(what).copied().unwrap_or_default()
    }

    async fn read(&self, endpoint: &str, id: Uuid) -> Option<(i64, Value)> {
        let read = self.bed.read(endpoint, id).await?;
        Some((read.version, serde_json::from_slice(&read.body).expect("JSON")))
    }
}

impl Client {
    async fn work(mut self, until: Instant) {
        while Instant::now() < until {
            self.writes += 1;
            let (deed, result) = match self.random.random_range(0..100) {
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
                    self.fleet.count(deed);
                    format!("{:?}", written.outcome).to_lowercase()
                }
                None => "looked, and it was gone".to_owned(),
                Some(Err(error)) => refusal(&error).to_owned(),
            };
            self.fleet.count(&outcome);
        }
    }

    fn writer(&mut self) -> Writer {
        self.writers.choose(&mut self.random).expect("three writers").clone()
    }

    fn note(&self) -> Value {
        json!(format!("{} wrote {}", self.name, self.writes))
    }

    async fn hub_reference(&mut self) -> Option<Value> {
        let hub = *self.fleet.hubs.choose(&mut self.random)?;
        let (_, body) = self.fleet.read("hubs", hub).await?;
        Some(json!({"hubName": body["hubName"]}))
    }

    async fn spoke_reference(&mut self) -> Option<Value> {
        let spoke = *self.fleet.spokes.choose(&mut self.random)?;
        let (_, body) = self.fleet.read("spokes", spoke).await?;
        Some(json!({"hubName": body["hubReference"]["hubName"], "spokeName": body["spokeName"]}))
    }

    /// References of a rim: each there or not.
    async fn point(&mut self, body: &mut Value) -> Option<()> {
        for member in ["firstHubReference", "secondHubReference"] {
            body[member] = if self.random.random() { self.hub_reference().await? } else { Value::Null };
        }
        body["spokeReference"] = if self.random.random() { self.spoke_reference().await? } else { Value::Null };
        Some(())
    }

    fn rim(&mut self) -> Option<Uuid> {
        self.fleet.rims.lock().expect("unpoisoned").choose(&mut self.random).copied()
    }

    async fn edit_rim(&mut self) -> Option<Result<Written, WriteError>> {
        let id = self.rim()?;
        let (version, mut body) = self.fleet.read("rims", id).await?;
        body["note"] = self.note();
        if self.random.random() {
            self.point(&mut body).await?;
        }
        let version = self.random.random::<bool>().then_some(version);
        Some(self.put("rims", id, body, version).await)
    }

    async fn edit_hub(&mut self) -> Option<Result<Written, WriteError>> {
        let (endpoint, id) = match self.random.random() {
            true => ("hubs", *self.fleet.hubs.choose(&mut self.random)?),
            false => ("spokes", *self.fleet.spokes.choose(&mut self.random)?),
        };
        let (version, mut body) = self.fleet.read(endpoint, id).await?;
        body["note"] = self.note();
        if endpoint == "spokes" {
            body["guideHubReference"] = if self.random.random() { self.hub_reference().await? } else { Value::Null };
        }
        Some(self.put(endpoint, id, body, Some(version)).await)
    }

    async fn rename_hub(&mut self) -> Option<Result<Written, WriteError>> {
        let id = *self.fleet.hubs.choose(&mut self.random)?;
        let (_, mut body) = self.fleet.read("hubs", id).await?;
        body["hubName"] = json!(format!("name {}", self.random.random_range(0..NAMES)));
        Some(self.put("hubs", id, body, None).await)
    }

    async fn move_spoke(&mut self) -> Option<Result<Written, WriteError>> {
        let id = *self.fleet.spokes.choose(&mut self.random)?;
        let (_, mut body) = self.fleet.read("spokes", id).await?;
        match self.random.random() {
            true => body["spokeName"] = json!(format!("spoke {}", self.random.random_range(0..NAMES))),
            false => body["hubReference"] = self.hub_reference().await?,
        }
        Some(self.put("spokes", id, body, None).await)
    }

    async fn insert(&mut self) -> Option<Result<Written, WriteError>> {
        let mut body = json!({"rimId": format!("rim {} of {}", self.writes, self.name), "note": self.note()});
        self.point(&mut body).await?;
        let (writer, resource) = (self.writer(), self.fleet.bed.resource("rims"));
        let result = writer.post(resource, body.to_string().as_bytes(), &Preconditions::default()).await;
        if let Ok(written) = &result {
            self.fleet.rims.lock().expect("unpoisoned").push(written.uuid);
            self.fleet.born.lock().expect("unpoisoned").push(written.uuid);
        }
        Some(result)
    }

    async fn delete_rim(&mut self) -> Option<Result<Written, WriteError>> {
        let id = {
            let mut rims = self.fleet.rims.lock().expect("unpoisoned");
            if rims.len() <= RIMS / 2 {
                return None;
            }
            let at = self.random.random_range(0..rims.len());
            rims.swap_remove(at)
        };
        Some(self.writer().delete(self.fleet.bed.resource("rims"), id, &Preconditions::default()).await)
    }

    /// Hubs are nearly always referred to. When one is not, the fleet has one hub less from then on.
    async fn delete_hub(&mut self) -> Option<Result<Written, WriteError>> {
        let id = *self.fleet.hubs.choose(&mut self.random)?;
        Some(self.writer().delete(self.fleet.bed.resource("hubs"), id, &Preconditions::default()).await)
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
        let (writer, resource) = (self.writer(), self.fleet.bed.resource(endpoint));
        writer.put(resource, id, body.to_string().as_bytes(), &when).await
    }
}

/// What a write may be refused with here.
fn refusal(error: &WriteError) -> &'static str {
    match error {
        WriteError::UnresolvedReference { .. } => "unresolved reference",
        WriteError::IdentityConflict { .. } => "identity taken",
        WriteError::DependentItemExists { .. } => "still referred to",
        WriteError::PreconditionFailed => "precondition failed",
        WriteError::NotFound => "not found",
        WriteError::Busy { .. } => "busy",
        other => panic!("nobody asked for this: {other:?}"),
    }
}

/// Reads everything again and again, and stores what it composed steps later.
async fn observe(fleet: &Fleet, until: Instant) -> (Observer, u32) {
    let hubs = fleet.hubs.iter().map(|id| ("hubs", *id));
    let spokes = fleet.spokes.iter().map(|id| ("spokes", *id));
    let rims = fleet.rims.lock().expect("unpoisoned").clone();
    let mut observer = Observer::of(hubs.chain(spokes).chain(rims.into_iter().map(|id| ("rims", id))));
    let mut looks = 0;
    while Instant::now() < until {
        for id in std::mem::take(&mut *fleet.born.lock().expect("unpoisoned")) {
            observer.watch("rims", id);
        }
        observer.look(&fleet.bed).await;
        looks += 1;
    }
    (observer, looks)
}

async fn work_off(database: Database, until: Instant) {
    while Instant::now() < until {
        // A page of two, so that cascades stay open for some of their referrers.
        if work_off_page(&database, 2).await.expect("a page").is_none() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_writes_leave_everything_right() {
    let fleet = Arc::new(Fleet::new().await);
    let options = fleet.bed.test_database().options().clone().with_application_name("stress");
    let database = Database::connect(&options, WRITERS as usize + 2).await.expect("a pool");
    let until = Instant::now() + BUDGET;
    let mut tasks = Vec::new();
    for name in 0..WRITERS {
        let writers = [0, 1, 1_000].map(|strict_max| {
            let options = WriterOptions { strict_max, ..WriterOptions::default() };
            Writer::new(database.clone(), Arc::clone(&fleet.bed.mapping), options).expect("a writer")
        });
        let random = StdRng::seed_from_u64(SEED + name);
        let client = Client { fleet: Arc::clone(&fleet), random, writers: writers.into(), name, writes: 0 };
        tasks.push(tokio::spawn(client.work(until)));
    }
    for _ in 0..2 {
        tasks.push(tokio::spawn(work_off(database.clone(), until)));
    }
    let (mut observer, looks) = observe(&fleet, until).await;
    for task in tasks {
        task.await.expect("no task panicked");
    }
    fleet.bed.work_off_cascades().await;
    observer.finish(&fleet.bed).await;
    fleet.bed.check().await;
    report(&fleet, looks);
    assert_eq!(deadlocks(&fleet.bed, database).await, 0, "transactions waited for each other in a circle");
}

fn report(fleet: &Fleet, looks: u32) {
    let tally = fleet.tally.lock().expect("unpoisoned").clone();
    #[allow(clippy::print_stderr, reason = "the account of the run")]
    {
        eprintln!("{WRITERS} writers for {BUDGET:?}, seed {SEED}, {looks} looks: {tally:#?}");
    }
    let committed = ["created", "updated", "deleted"].map(|outcome| fleet.tallied(outcome)).iter().sum::<u32>();
    assert!(committed >= COMMITTED_MIN, "only {committed} writes committed");
    assert!(looks >= LOOKS_MIN, "only {looks} looks");
    for outcome in ["created", "updated", "deleted", "unresolved reference", "identity taken", "precondition failed"] {
        assert!(fleet.tallied(outcome) > 0, "the mixture never led to: {outcome}");
    }
    let busy = fleet.tallied("busy");
    assert!(busy * 100 <= committed * BUSY_PERCENT_MAX, "{busy} of {committed} gave up");
}

/// Deadlocks that the server has resolved in this database. Sessions report theirs when they end.
async fn deadlocks(bed: &Bed, database: Database) -> i64 {
    database.close();
    drop(database);
    let sql = r#"SELECT count(*) FROM pg_stat_activity WHERE "application_name" = 'stress'"#;
    let ended = || async { bed.value::<i64>(sql, &[]).await == 0 };
    millstream_testkit::wait_until("the sessions to end", crate::support::PATIENCE, ended).await;
    bed.value(r#"SELECT "deadlocks" FROM pg_stat_database WHERE "datname" = current_database()"#, &[]).await
}
