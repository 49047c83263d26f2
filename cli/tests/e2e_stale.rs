//! Edits documents at full speed while the projector runs. Once the projector is idle, every cached body must match the
//! rows of its document.
//!
//! A commit reaches the replication slot before other sessions can see it. A rebuild that starts at once may read the
//! old rows, and without a later change the cache would stay wrong. These tests detect that race.

mod support;

use futures::future::join_all;
use millstream_schema::plan::ResourceIx;
use millstream_testkit::World;
use millstream_writer::{Preconditions, Writer, WriterOptions};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::random::Random;
use support::report;
use support::running::Running;
use uuid::Uuid;

/// Number of concurrent editors.
const CONNECTIONS: usize = 8;
/// Number of documents; every editor edits all of them.
const STUDENTS: usize = 400;
/// Edits and time limit of the short test.
const EDITS: usize = 5_000;
const BUDGET: Duration = Duration::from_secs(60);
/// Edits, time limit and runs of the long test.
const EDITS_LONG: usize = 50_000;
const BUDGET_LONG: Duration = Duration::from_secs(900);
const RUNS_LONG: usize = 5;

/// Version and number of the last accepted edit of each document.
type LastAccepted = HashMap<Uuid, (i64, u64)>;

/// State that the editors share.
struct Editors {
    writer: Writer,
    resource: ResourceIx,
    students: Vec<(Uuid, usize)>,
    last: Mutex<LastAccepted>,
    /// Edits so far.
    edits: AtomicUsize,
    target: usize,
    deadline: Instant,
}

/// Builds a body that contains the number of the edit. Its rows are in three tables, so a rebuild that does not read
/// one snapshot mixes versions.
fn student(number: usize, edit: u64) -> Value {
    json!({
        "studentUniqueId": format!("STALE-{number}"), "firstName": format!("edit {edit}"), "lastSurname": "Abara",
        "birthData": {"birthDate": "2014-01-01"},
        "otherNames": [{"otherName": format!("edit {edit}"), "languages": [{"languageCode": format!("{}", edit % 9)}]}],
    })
}

impl Editors {
    async fn edit(&self, mut random: Random, connection: usize) {
        for round in 0.. {
            if self.edits.fetch_add(1, Ordering::Relaxed) >= self.target || Instant::now() > self.deadline {
                self.edits.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            let (uuid, number) = *random.pick(&self.students);
            let edit = (round * CONNECTIONS + connection) as u64 + 1;
            let mut body = student(number, edit);
            body["id"] = json!(uuid);
            let body = body.to_string();
            let written = self.writer.put(self.resource, uuid, body.as_bytes(), &Preconditions::default()).await;
            let written = written.unwrap_or_else(|error| panic!("an edit was refused: {error:?}"));
            let mut last = self.last.lock().expect("not poisoned");
            let known = last.entry(uuid).or_insert((0, 0));
            *known = (*known).max((written.version, edit));
        }
    }
}

async fn cached(running: &Running) -> HashMap<Uuid, (i64, Value)> {
    let sql = r#"SELECT "DocumentUuid", "ContentVersion", "Body" FROM "dms"."DocumentCache""#;
    let rows = running.client().await.query(sql, &[]).await.expect("the cache can be read");
    rows.iter().map(|row| (row.get(0), (row.get(1), serde_json::from_str(row.get(2)).expect("JSON")))).collect()
}

/// Returns the documents whose cached body is not the last accepted one: id, accepted version, cached version.
fn stale(last: &LastAccepted, cached: &HashMap<Uuid, (i64, Value)>) -> Vec<(Uuid, i64, i64)> {
    let differing = last.iter().filter_map(|(uuid, (version, edit))| {
        let (cached, body) = &cached[uuid];
        let is_stale = cached != version || body["firstName"] != format!("edit {edit}");
        is_stale.then_some((*uuid, *version, *cached))
    });
    differing.collect()
}

/// Edits, waits until the projector is idle, compares. Returns the number of edits.
async fn run(running: &Running, target: usize, budget: Duration, random: &mut Random) -> usize {
    let world = running.world;
    let writer = Writer::new(running.database().clone(), Arc::clone(&world.mapping), WriterOptions::default());
    let writer = writer.expect("a writer");
    let resource = world.mapping.route("meadow", "students").expect("an endpoint");
    let mut students = Vec::with_capacity(STUDENTS);
    for number in 0..STUDENTS {
        let body = student(number, 0).to_string();
        let written = writer.post(resource, body.as_bytes(), &Preconditions::default()).await.expect("accepted");
        students.push((written.uuid, number));
    }
    let started = Instant::now();
    let editors = Arc::new(Editors {
        writer,
        resource,
        students,
        last: Mutex::default(),
        edits: AtomicUsize::new(0),
        target,
        deadline: started + budget,
    });
    let tasks = (0..CONNECTIONS).map(|connection| {
        let (editors, random) = (Arc::clone(&editors), random.split());
        tokio::spawn(async move { editors.edit(random, connection).await })
    });
    for ended in join_all(tasks).await {
        ended.expect("no edit fails");
    }
    let (edits, duration) = (editors.edits.load(Ordering::Relaxed), started.elapsed());
    let settled = running.settle().await;

    let last = std::mem::take(&mut *editors.last.lock().expect("not poisoned"));
    assert!(!last.is_empty(), "nothing was edited");
    let stale = stale(&last, &cached(running).await);
    report!("{edits} edits in {duration:.1?}, idle {settled:.1?} later, {} stale of {}", stale.len(), last.len());
    if !stale.is_empty() {
        // If the body is current after another wait, `settle` returned too early. If it is still stale, this is the
        // race.
        running.settle().await;
        let permanently = self::stale(&last, &cached(running).await);
        panic!("cached bodies that are not the last accepted ones: {stale:?}; after another wait: {permanently:?}");
    }
    running.verify().await;
    edits
}

async fn edit_and_compare(seed: &str, runs: usize, target: usize, budget: Duration) {
    let world = World::fixtures();
    let database = world.database().await;
    let mut running = Running::on(world, database.database().clone());
    running.follow().await;
    let mut random = Random::seeded(seed);
    for _ in 0..runs {
        let edits = run(&running, target, budget, &mut random).await;
        assert!(edits >= target, "only {edits} of {target} edits within {budget:?}: too few for the test");
    }
    running.unfollow().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stale_after_edits_at_full_speed() {
    edit_and_compare("5,000 edits", 1, EDITS, BUDGET).await;
}

/// `make torture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make torture"]
async fn torture_nothing_is_stale_after_fifty_thousand_edits_in_any_of_five_runs() {
    edit_and_compare("five times 50,000 edits", RUNS_LONG, EDITS_LONG, BUDGET_LONG).await;
}
