//! Edits at full speed, followed live: when all is quiet, every cached body is the one of its document's rows.
//!
//! A commit reaches the replication slot before other sessions can see it. Whoever rebuilds at once may read the old
//! rows, and nothing would ever correct that: this is where it would show.

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
use support::dice::Dice;
use support::running::Running;
use support::say;
use uuid::Uuid;

/// Connections that edit at the same time.
const CONNECTIONS: usize = 8;
/// Documents that they edit, each connection all of them.
const STUDENTS: usize = 400;
/// Edits of the short form, and its wall-clock budget.
const EDITS: usize = 5_000;
const BUDGET: Duration = Duration::from_secs(60);
/// Edits and runs of the long form.
const EDITS_LONG: usize = 50_000;
const BUDGET_LONG: Duration = Duration::from_secs(900);
const RUNS_LONG: usize = 5;

/// What was accepted last of each document: version and mark.
type Last = Mutex<HashMap<Uuid, (i64, u64)>>;

struct Crowd {
    writer: Writer,
    resource: ResourceIx,
    students: Vec<(Uuid, usize)>,
    last: Last,
    made: AtomicUsize,
    wanted: usize,
    deadline: Instant,
}

/// Bodies with rows in three tables: the rebuild reads them all in one snapshot or notices nothing.
fn student(number: usize, mark: u64) -> Value {
    json!({
        "studentUniqueId": format!("STALE-{number}"), "firstName": format!("mark {mark}"), "lastSurname": "Abara",
        "birthData": {"birthDate": "2014-01-01"},
        "otherNames": [{"otherName": format!("mark {mark}"), "languages": [{"languageCode": format!("{}", mark % 9)}]}],
    })
}

impl Crowd {
    async fn edit(&self, mut dice: Dice, connection: usize) {
        for turn in 0.. {
            if self.made.fetch_add(1, Ordering::Relaxed) >= self.wanted || Instant::now() > self.deadline {
                self.made.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            let (uuid, number) = *dice.pick(&self.students);
            let mark = (turn * CONNECTIONS + connection) as u64 + 1;
            let mut body = student(number, mark);
            body["id"] = json!(uuid);
            let body = body.to_string();
            let written = self.writer.put(self.resource, uuid, body.as_bytes(), &Preconditions::default()).await;
            let written = written.unwrap_or_else(|error| panic!("an edit was refused: {error:?}"));
            let mut last = self.last.lock().expect("nobody panics with the lock");
            let known = last.entry(uuid).or_insert((0, 0));
            *known = (*known).max((written.version, mark));
        }
    }
}

async fn cached(running: &Running) -> HashMap<Uuid, (i64, Value)> {
    let sql = r#"SELECT "DocumentUuid", "ContentVersion", "Body" FROM "dms"."DocumentCache""#;
    let rows = running.client().await.query(sql, &[]).await.expect("the cache can be read");
    rows.iter().map(|row| (row.get(0), (row.get(1), serde_json::from_str(row.get(2)).expect("JSON")))).collect()
}

/// Documents whose cached body is not what was accepted last: id, accepted version, cached version.
fn stale(last: &HashMap<Uuid, (i64, u64)>, cached: &HashMap<Uuid, (i64, Value)>) -> Vec<(Uuid, i64, i64)> {
    let differing = last.iter().filter_map(|(uuid, (version, mark))| {
        let (cached, body) = &cached[uuid];
        let is_stale = cached != version || body["firstName"] != format!("mark {mark}");
        is_stale.then_some((*uuid, *version, *cached))
    });
    differing.collect()
}

/// Edits, waits for rest, compares. Answers how many edits there were.
async fn run(running: &Running, wanted: usize, budget: Duration, dice: &mut Dice) -> usize {
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
    let crowd = Arc::new(Crowd {
        writer,
        resource,
        students,
        last: Mutex::default(),
        made: AtomicUsize::new(0),
        wanted,
        deadline: started + budget,
    });
    let tasks = (0..CONNECTIONS).map(|connection| {
        let (crowd, dice) = (Arc::clone(&crowd), dice.split());
        tokio::spawn(async move { crowd.edit(dice, connection).await })
    });
    for ended in join_all(tasks).await {
        ended.expect("no edit fails");
    }
    let (edits, edited) = (crowd.made.load(Ordering::Relaxed), started.elapsed());
    let settled = running.settle().await;

    let last = std::mem::take(&mut *crowd.last.lock().expect("nobody panics with the lock"));
    assert!(!last.is_empty(), "nothing was edited");
    let stale = stale(&last, &cached(running).await);
    say!("{edits} edits in {edited:.1?}, at rest {settled:.1?} later, {} stale of {}", stale.len(), last.len());
    if !stale.is_empty() {
        // Late is a fault of whoever said that all is quiet; stale for good is the race that this test is about.
        running.settle().await;
        let for_good = self::stale(&last, &cached(running).await);
        panic!("cached bodies that are not what was accepted last: {stale:?}; after another rest: {for_good:?}");
    }
    running.verify().await;
    edits
}

async fn crowd(what: &str, runs: usize, wanted: usize, budget: Duration) {
    let world = World::fixtures();
    let database = world.database().await;
    let mut running = Running::on(world, database.database().clone());
    running.follow().await;
    let mut dice = Dice::seeded(what);
    for _ in 0..runs {
        let edits = run(&running, wanted, budget, &mut dice).await;
        assert!(edits >= wanted, "only {edits} of {wanted} edits within {budget:?}: this proves too little");
    }
    running.unfollow().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stale_after_edits_at_full_speed() {
    crowd("5,000 edits", 1, EDITS, BUDGET).await;
}

/// `make torture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make torture"]
async fn torture_nothing_is_stale_after_fifty_thousand_edits_in_any_of_five_runs() {
    crowd("five times 50,000 edits", RUNS_LONG, EDITS_LONG, BUDGET_LONG).await;
}
