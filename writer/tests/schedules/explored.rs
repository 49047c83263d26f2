//! The scenarios of the explored model (docs/design/schedules.md#explored) with real transactions: many orders of starting
//! and committing, actors blocked at different locks first, quick and slow cascade workers, and projectors that store
//! bodies two steps late.
//!
//! Proves MONOTONIC, FRESH, ATOMIC, IDENTITY, EDGES and the uniqueness of labels, and the absence of deadlocks.

use crate::support::{
    Act, Actor, Doc, Documents, Fixture, Observer, RENAME_LOCK, References, Scheduler, TIMEOUT, TURNSTILE_LOCK, wheel,
};
use Act::{Delete, Edit, Insert, Point, PointToSpoke, Rename, RenameStrict};
use Doc::{G, H, M, R};
use millstream_projector::cascade::stamp_page;
use millstream_testkit::Holder;
use millstream_writer::{WriteError, Written};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Names of the actors, in the order of the acts of a scenario.
const ACTORS: [&str; 4] = ["A", "B", "C", "D"];
const WORKERS: [&str; 2] = ["worker 1", "worker 2"];
/// Default number of orders per scenario; `MILLSTREAM_SCHEDULES` overrides it.
const ORDERS: usize = 8;
const SEED: u64 = 14;

struct Scenario {
    name: &'static str,
    references: References,
    acts: &'static [Act],
}

const fn scenario(name: &'static str, references: References, acts: &'static [Act]) -> Scenario {
    Scenario { name, references, acts }
}

/// Numbered as in docs/design/schedules.md#explored; the named ones at the end are beyond its model.
const SCENARIOS: [Scenario; 37] = [
    scenario("1", References::H, &[Rename(H), Edit(R)]),
    scenario("2", References::H, &[Rename(H), Point(R, G)]),
    scenario("3", References::G, &[Rename(H), Point(R, H)]),
    scenario("4", References::M, &[Rename(H), Insert]),
    scenario("5", References::H, &[Rename(H), Delete(R)]),
    scenario("6", References::H, &[Rename(H), Rename(H)]),
    scenario("6b", References::H, &[Rename(H), Rename(H), Edit(R)]),
    scenario("7", References::M, &[Rename(H), Rename(M)]),
    scenario("7b", References::HM, &[Rename(H), Rename(M)]),
    scenario("8", References::HG, &[Rename(H), Rename(G)]),
    scenario("8b", References::HG, &[RenameStrict(H), Rename(G)]),
    scenario("8c", References::HG, &[RenameStrict(H), RenameStrict(G)]),
    scenario("8d", References::HG, &[Rename(H), Rename(G), Edit(R)]),
    scenario("8e", References::GM, &[Rename(G), Rename(H)]),
    scenario("9", References::H, &[Rename(H), Edit(H)]),
    scenario("9b", References::M, &[Rename(H), Edit(M)]),
    scenario("10", References::M, &[Rename(H), Point(M, G)]),
    scenario("10b", References::M, &[Rename(G), Point(M, G)]),
    scenario("11", References::H, &[RenameStrict(H), Point(R, G)]),
    scenario("11b", References::H, &[RenameStrict(H), Edit(R), Point(R, G)]),
    scenario("12", References::H, &[Rename(H), Point(R, G), Point(R, H)]),
    scenario("13", References::H, &[Rename(H), Edit(R), Delete(R)]),
    scenario("14", References::H, &[Rename(H), Rename(H)]),
    scenario("15", References::H, &[Rename(H), PointToSpoke]),
    scenario("16", References::G, &[Rename(H), Point(R, H), Delete(R)]),
    scenario("17", References::G, &[Rename(H), Point(R, H), Edit(R)]),
    scenario("17b", References::H, &[Rename(H), Point(R, G), Edit(R)]),
    scenario("18", References::GM, &[Rename(H), Rename(G), Rename(M)]),
    scenario("19", References::HG, &[Rename(H), Rename(H), Rename(G), Edit(R)]),
    scenario("20", References::HG, &[Rename(H), RenameStrict(G), RenameStrict(H), Edit(R)]),
    scenario("21", References::HM, &[Rename(H), Point(M, G), Rename(G)]),
    scenario("22", References::HG, &[Rename(H), Rename(G), Point(R, G), Delete(R)]),
    scenario("23", References::HG, &[Rename(H), Rename(G)]),
    scenario("guided, both strict", References::GUIDED, &[RenameStrict(H), RenameStrict(G)]),
    scenario("guided, cascade and strict", References::GUIDED, &[Rename(H), RenameStrict(G), Edit(M)]),
    scenario(
        "guided, all embed all",
        References { guide_of_m: Some(G), ..References::GM },
        &[RenameStrict(H), RenameStrict(G), RenameStrict(M), Edit(R)],
    ),
    scenario("hub deleted", References::NONE, &[Rename(G), Point(R, G), Delete(G)]),
];

/// The lock that blocks all actors at first.
#[derive(Debug, Clone, Copy)]
enum HoldPoint {
    None,
    /// Before any identity lock.
    Turnstile,
    /// At the identity locks.
    Hubs,
    /// With the identity locks, before the row of R.
    Referrer,
    /// With all row locks, before a rename draws its version.
    RenameLock,
}

const HOLD_POINTS: [HoldPoint; 5] =
    [HoldPoint::None, HoldPoint::Turnstile, HoldPoint::Hubs, HoldPoint::Referrer, HoldPoint::RenameLock];

impl HoldPoint {
    fn sql(self, documents: &Documents) -> Option<String> {
        let ids = |docs: [Doc; 3]| docs.map(|doc| format!("'{}'", documents.id(doc))).join(",");
        match self {
            Self::None => None,
            Self::Turnstile => Some(format!("SELECT pg_advisory_xact_lock({TURNSTILE_LOCK})")),
            Self::Hubs => Some(format!(
                r#"SELECT FROM "dms"."IdentityLock" l JOIN "dms"."Document" d USING ("DocumentId")
                   WHERE d."DocumentUuid" IN ({}) ORDER BY "DocumentId" FOR UPDATE OF l"#,
                ids([H, G, M])
            )),
            Self::Referrer => {
                // Not FOR UPDATE, which would block projectors: they lock the key in share mode.
                let row = format!(r#"SELECT FROM "dms"."Document" WHERE "DocumentUuid" = '{}'"#, documents.id(R));
                Some(format!("{row} FOR NO KEY UPDATE"))
            }
            Self::RenameLock => Some(format!("SELECT pg_advisory_xact_lock({RENAME_LOCK})")),
        }
    }
}

/// One order of a scenario.
#[derive(Debug, Clone)]
struct Order {
    start: Vec<usize>,
    commit: Vec<usize>,
    hold: HoldPoint,
    /// Workers wait before their commit until the next actor has committed.
    slow_workers: bool,
}

/// Returns orders of a scenario: first in sequence and in reverse, then random ones.
fn orders(acts: usize, count: usize, seed: u64) -> Vec<Order> {
    let mut random = StdRng::seed_from_u64(seed);
    let in_sequence: Vec<usize> = (0..acts).collect();
    let reverse: Vec<usize> = (0..acts).rev().collect();
    let mut orders = vec![
        Order { start: in_sequence.clone(), commit: in_sequence.clone(), hold: HoldPoint::None, slow_workers: true },
        Order { start: reverse.clone(), commit: reverse, hold: HoldPoint::None, slow_workers: false },
    ];
    while orders.len() < count {
        let (mut start, mut commit) = (in_sequence.clone(), in_sequence.clone());
        start.shuffle(&mut random);
        commit.shuffle(&mut random);
        let hold = HOLD_POINTS[orders.len() % HOLD_POINTS.len()];
        orders.push(Order { start, commit, hold, slow_workers: random.random() });
    }
    orders
}

/// A database with scheduler and actors, which runs one scenario after another.
struct ScheduleRunner {
    fixture: Fixture,
    scheduler: Scheduler,
    actors: Vec<Actor>,
    workers: Vec<Actor>,
}

type Writes = BTreeMap<usize, JoinHandle<Result<Written, WriteError>>>;

impl ScheduleRunner {
    async fn new() -> Self {
        let fixture = wheel().await;
        let scheduler = Scheduler::install(&fixture).await;
        let (mut actors, mut workers) = (Vec::new(), Vec::new());
        for name in ACTORS {
            actors.push(Actor::new(&fixture, name).await);
        }
        for name in WORKERS {
            workers.push(Actor::new(&fixture, name).await);
        }
        Self { fixture, scheduler, actors, workers }
    }

    async fn run(&self, scenario: &Scenario, order: &Order) {
        let documents = Documents::create(&self.fixture, scenario.references).await;
        let mut observer = Observer::of(documents.all());
        observer.observe(&self.fixture).await;
        let hold = match order.hold.sql(&documents) {
            Some(sql) => Some(Holder::hold(self.fixture.test_database(), &sql).await),
            None => None,
        };
        let mut writes: Writes = BTreeMap::new();
        for at in &order.start {
            let (actor, act) = (self.actors[*at].clone(), scenario.acts[*at]);
            self.scheduler.close(actor.name).await;
            writes.insert(*at, self.scheduler.start(actor.name, actor.act(documents.clone(), act)));
            self.scheduler.settle().await;
            observer.observe(&self.fixture).await;
        }
        if let Some(hold) = hold {
            hold.roll_back().await;
            self.scheduler.settle().await;
            observer.observe(&self.fixture).await;
        }
        let mut workers = BTreeMap::new();
        for at in &order.commit {
            self.scheduler.open(ACTORS[*at]).await;
            self.scheduler.settle().await;
            observer.observe(&self.fixture).await;
            self.work(&mut workers, order.slow_workers).await;
            observer.observe(&self.fixture).await;
        }
        for (at, write) in writes {
            let written = write.await.expect("the actor did not panic");
            self.check_outcome(scenario, scenario.acts[at], written, &mut observer);
        }
        self.finish(workers, observer).await;
    }

    /// Lets two workers process the open cascades, one referrer per page. Slow workers wait before each commit until the
    /// next actor has committed.
    async fn work(&self, workers: &mut BTreeMap<&'static str, JoinHandle<()>>, slow: bool) {
        for worker in &self.workers {
            self.scheduler.open(worker.name).await;
        }
        self.scheduler.settle().await;
        for worker in &self.workers {
            if slow {
                self.scheduler.close(worker.name).await;
            }
            if workers.get(worker.name).is_none_or(JoinHandle::is_finished) {
                let database = worker.database.clone();
                let pages = async move { while stamp_page(&database, 1).await.expect("a page").is_some() {} };
                workers.insert(worker.name, self.scheduler.start(worker.name, pages));
            }
            self.scheduler.settle().await;
        }
    }

    /// Checks an outcome: a write succeeds, or finds its document deleted, or cannot delete a hub with referrers.
    fn check_outcome(
        &self,
        scenario: &Scenario,
        act: Act,
        written: Result<Written, WriteError>,
        observer: &mut Observer,
    ) {
        let deletes = scenario.acts.iter().any(|act| matches!(act, Delete(_)));
        match written {
            Ok(written) if act == Insert => observer.watch("rims", written.uuid),
            Ok(_) => {}
            Err(WriteError::NotFound) if deletes => {}
            Err(WriteError::DependentItemExists { .. }) if matches!(act, Delete(G)) => {}
            Err(error) => panic!("{act:?} was refused: {error:?}"),
        }
    }

    async fn finish(&self, workers: BTreeMap<&'static str, JoinHandle<()>>, mut observer: Observer) {
        for name in WORKERS {
            self.scheduler.open(name).await;
        }
        for worker in workers.into_values() {
            worker.await.expect("a worker did not panic");
        }
        self.fixture.work_off_cascades().await;
        assert!(self.fixture.cascades().await.is_empty(), "a cascade is still open");
        observer.finish(&self.fixture).await;
    }
}

async fn explore(part: usize, parts: usize) {
    let requested = std::env::var("MILLSTREAM_SCHEDULES").ok();
    let count = requested.map_or(ORDERS, |count| count.parse().expect("MILLSTREAM_SCHEDULES is a number"));
    let (runner, started) = (ScheduleRunner::new().await, Instant::now());
    let mut schedules = 0;
    for scenario in SCENARIOS.iter().skip(part).step_by(parts) {
        for (number, order) in orders(scenario.acts.len(), count, SEED).iter().enumerate() {
            // The test harness shows this only if the test fails.
            println!("scenario {} order {number}: {order:?}", scenario.name);
            let run = timeout(TIMEOUT * 2, runner.run(scenario, order));
            run.await.expect("a schedule ends");
            schedules += 1;
        }
    }
    println!("{schedules} schedules in {:?}", started.elapsed());
    assert!(schedules >= ORDERS * (SCENARIOS.len() / parts), "only {schedules} schedules");
    runner.fixture.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explored_scenarios_first_part() {
    explore(0, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explored_scenarios_second_part() {
    explore(1, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explored_scenarios_third_part() {
    explore(2, 3).await;
}
