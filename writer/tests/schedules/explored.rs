//! The scenarios that were explored in a model, with real transactions: each in many orders of starting and committing,
//! with the first step of everybody held back at different locks, with cascade workers that are quick or slow, and with
//! projectors that store what they composed two steps too late.
//!
//! Proves MONOTONIC, FRESH, ATOMIC, IDENTITY, EDGES and the uniqueness of labels, and that nobody waits in a circle.

use crate::support::{
    Act, Actor, Bed, Doc, Observer, PATIENCE, RENAME_LOCK, References, Scene, Stage, TURNSTILE_LOCK, wheel,
};
use Act::{Delete, Edit, Insert, Point, PointToSpoke, Rename, RenameStrict};
use Doc::{G, H, M, R};
use millstream_projector::cascade::work_off_page;
use millstream_testkit::Holder;
use millstream_writer::{WriteError, Written};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Names of the actors, in the order of a scenario's acts.
const ACTORS: [&str; 4] = ["A", "B", "C", "D"];
const WORKERS: [&str; 2] = ["worker 1", "worker 2"];
/// Orders tried of each scenario. `MILLSTREAM_SCHEDULES` asks for more.
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

/// As they are numbered in the design; the last ones are those that its model could not hold.
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

/// Where everybody is held back at first.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Nowhere,
    /// Before any identity lock.
    Turnstile,
    /// At the identity locks.
    Hubs,
    /// With the identity locks, before R's row.
    Referrer,
    /// With all row locks, before a rename draws.
    RenameLock,
}

const HOLDS: [Hold; 5] = [Hold::Nowhere, Hold::Turnstile, Hold::Hubs, Hold::Referrer, Hold::RenameLock];

impl Hold {
    fn sql(self, scene: &Scene) -> Option<String> {
        let ids = |docs: [Doc; 3]| docs.map(|doc| format!("'{}'", scene.id(doc))).join(",");
        match self {
            Self::Nowhere => None,
            Self::Turnstile => Some(format!("SELECT pg_advisory_xact_lock({TURNSTILE_LOCK})")),
            Self::Hubs => Some(format!(
                r#"SELECT FROM "dms"."IdentityLock" l JOIN "dms"."Document" d USING ("DocumentId")
                   WHERE d."DocumentUuid" IN ({}) ORDER BY "DocumentId" FOR UPDATE OF l"#,
                ids([H, G, M])
            )),
            Self::Referrer => {
                // Not FOR UPDATE: projectors, which only share the key, are not to be held.
                let row = format!(r#"SELECT FROM "dms"."Document" WHERE "DocumentUuid" = '{}'"#, scene.id(R));
                Some(format!("{row} FOR NO KEY UPDATE"))
            }
            Self::RenameLock => Some(format!("SELECT pg_advisory_xact_lock({RENAME_LOCK})")),
        }
    }
}

/// One way through a scenario.
#[derive(Debug, Clone)]
struct Order {
    start: Vec<usize>,
    commit: Vec<usize>,
    hold: Hold,
    /// Workers stay before their commit until the next actor has committed.
    slow_workers: bool,
}

/// Orders of a scenario: in turn and in reverse first, then at random.
fn orders(acts: usize, count: usize, seed: u64) -> Vec<Order> {
    let mut random = StdRng::seed_from_u64(seed);
    let in_turn: Vec<usize> = (0..acts).collect();
    let reverse: Vec<usize> = (0..acts).rev().collect();
    let mut orders = vec![
        Order { start: in_turn.clone(), commit: in_turn.clone(), hold: Hold::Nowhere, slow_workers: true },
        Order { start: reverse.clone(), commit: reverse, hold: Hold::Nowhere, slow_workers: false },
    ];
    while orders.len() < count {
        let (mut start, mut commit) = (in_turn.clone(), in_turn.clone());
        start.shuffle(&mut random);
        commit.shuffle(&mut random);
        let hold = HOLDS[orders.len() % HOLDS.len()];
        orders.push(Order { start, commit, hold, slow_workers: random.random() });
    }
    orders
}

/// A database with its stage and actors, for one scenario after another.
struct Theatre {
    bed: Bed,
    stage: Stage,
    actors: Vec<Actor>,
    workers: Vec<Actor>,
}

type Deeds = BTreeMap<usize, JoinHandle<Result<Written, WriteError>>>;

impl Theatre {
    async fn open() -> Self {
        let bed = wheel().await;
        let stage = Stage::build(&bed).await;
        let (mut actors, mut workers) = (Vec::new(), Vec::new());
        for name in ACTORS {
            actors.push(Actor::new(&bed, name).await);
        }
        for name in WORKERS {
            workers.push(Actor::new(&bed, name).await);
        }
        Self { bed, stage, actors, workers }
    }

    async fn play(&self, scenario: &Scenario, order: &Order) {
        let scene = Scene::set(&self.bed, scenario.references).await;
        let mut observer = Observer::of(scene.all());
        observer.look(&self.bed).await;
        let hold = match order.hold.sql(&scene) {
            Some(sql) => Some(Holder::hold(self.bed.test_database(), &sql).await),
            None => None,
        };
        let mut deeds: Deeds = BTreeMap::new();
        for at in &order.start {
            let (actor, act) = (self.actors[*at].clone(), scenario.acts[*at]);
            self.stage.close(actor.name).await;
            deeds.insert(*at, self.stage.start(actor.name, actor.act(scene.clone(), act)));
            self.stage.settle().await;
            observer.look(&self.bed).await;
        }
        if let Some(hold) = hold {
            hold.roll_back().await;
            self.stage.settle().await;
            observer.look(&self.bed).await;
        }
        let mut workers = BTreeMap::new();
        for at in &order.commit {
            self.stage.open(ACTORS[*at]).await;
            self.stage.settle().await;
            observer.look(&self.bed).await;
            self.work(&mut workers, order.slow_workers).await;
            observer.look(&self.bed).await;
        }
        for (at, deed) in deeds {
            let written = deed.await.expect("the actor did not panic");
            self.judge(scenario, scenario.acts[at], written, &mut observer);
        }
        self.finish(workers, observer).await;
    }

    /// Two workers take what is open, a page of one referrer after the other. Slow ones stay before each commit until
    /// the next actor has made his.
    async fn work(&self, workers: &mut BTreeMap<&'static str, JoinHandle<()>>, slow: bool) {
        for worker in &self.workers {
            self.stage.open(worker.name).await;
        }
        self.stage.settle().await;
        for worker in &self.workers {
            if slow {
                self.stage.close(worker.name).await;
            }
            if workers.get(worker.name).is_none_or(JoinHandle::is_finished) {
                let database = worker.database.clone();
                let pages = async move { while work_off_page(&database, 1).await.expect("a page").is_some() {} };
                workers.insert(worker.name, self.stage.start(worker.name, pages));
            }
            self.stage.settle().await;
        }
    }

    /// Every write succeeds, or finds its document deleted, or cannot delete a hub that is referred to.
    fn judge(&self, scenario: &Scenario, act: Act, written: Result<Written, WriteError>, observer: &mut Observer) {
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
            self.stage.open(name).await;
        }
        for worker in workers.into_values() {
            worker.await.expect("a worker did not panic");
        }
        self.bed.work_off_cascades().await;
        assert!(self.bed.cascades().await.is_empty(), "a cascade cannot be worked off");
        observer.finish(&self.bed).await;
    }
}

async fn explore(part: usize, parts: usize) {
    let asked = std::env::var("MILLSTREAM_SCHEDULES").ok();
    let count = asked.map_or(ORDERS, |count| count.parse().expect("MILLSTREAM_SCHEDULES is a number"));
    let (theatre, started) = (Theatre::open().await, Instant::now());
    let mut played = 0;
    for scenario in SCENARIOS.iter().skip(part).step_by(parts) {
        for (number, order) in orders(scenario.acts.len(), count, SEED).iter().enumerate() {
            // Shown only if the test fails.
            println!("scenario {} order {number}: {order:?}", scenario.name);
            let play = timeout(PATIENCE * 2, theatre.play(scenario, order));
            play.await.expect("a schedule ends");
            played += 1;
        }
    }
    println!("{played} schedules in {:?}", started.elapsed());
    assert!(played >= ORDERS * (SCENARIOS.len() / parts), "only {played} schedules");
    theatre.bed.check().await;
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
