//! The stage: gates at which actors stop just before they commit, and the knowledge of who stands where.
//!
//! Every actor has connections under its own `application_name`, and a trigger on `dms.Outbox` waits at an advisory lock
//! of that name. The outbox row is the last thing a write does, so an actor at its gate has all its locks, has drawn all
//! its versions, has written everything and is not visible. Everywhere else actors stop by themselves: behind each other.

use super::bed::{Bed, PATIENCE};
use millstream_store::connect::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinHandle};

/// The writer's advisory lock that sharers pass and renamers hold while they collect row locks.
pub(crate) const TURNSTILE_LOCK: i64 = 0x6d73_7475_726e;
/// The writer's advisory lock from the first version that a rename draws to the end of its transaction.
pub(crate) const RENAME_LOCK: i64 = 0x6d73_7265_6e61;

/// First key of the advisory locks that are gates.
const GATE_CLASS: i32 = 0x7374_6167;
/// Between two looks at who waits.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Looks in a row that must show the same circle of waiting before it is called a deadlock.
const LOOKS_DEADLOCK: u32 = 20;

const INSTALL: &str = r#"
CREATE FUNCTION public.stage_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared({class}, hashtext(current_setting('application_name')));
    PERFORM pg_advisory_unlock_shared({class}, hashtext(current_setting('application_name')));
    RETURN NULL;
END $$;
CREATE TRIGGER stage_gate BEFORE INSERT ON "dms"."Outbox" FOR EACH STATEMENT EXECUTE FUNCTION public.stage_gate();"#;

/// Who of the sessions on the stage waits for a lock, and for whom.
const WAITING: &str = r#"
SELECT "application_name", "pid", CASE WHEN "wait_event_type" = 'Lock' THEN pg_blocking_pids("pid") ELSE '{}' END
FROM pg_stat_activity WHERE "datname" = current_database() AND "application_name" LIKE 'actor %'"#;

/// Where an actor is when nothing moves any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Situation {
    /// It has its answer.
    Done,
    /// Before its commit.
    AtGate,
    /// Behind somebody outside the stage: a lock that the test itself holds.
    Held,
    /// Behind these actors.
    Behind(BTreeSet<String>),
}

/// Gates, and those who act.
pub(crate) struct Stage {
    keeper: Session,
    keeper_pid: i32,
    watcher: Session,
    closed: Mutex<BTreeSet<String>>,
    running: Mutex<BTreeMap<String, AbortHandle>>,
}

impl Stage {
    /// Builds the gates into a database. All are open.
    pub(crate) async fn build(bed: &Bed) -> Self {
        let (keeper, watcher) = (bed.test_database().session().await, bed.test_database().session().await);
        let install = INSTALL.replace("{class}", &GATE_CLASS.to_string());
        keeper.batch_execute(&install).await.expect("the gates can be built");
        let keeper_pid = keeper.query_one("SELECT pg_backend_pid()", &[]).await.expect("a session has a pid").get(0);
        Self { keeper, keeper_pid, watcher, closed: Mutex::default(), running: Mutex::default() }
    }

    /// Closes an actor's gate, if it is open.
    pub(crate) async fn close(&self, actor: &str) {
        if self.closed.lock().expect("nobody panicked in here").insert(actor.to_owned()) {
            self.gate("pg_advisory_lock", actor).await;
        }
    }

    /// Opens an actor's gate, if it is closed.
    pub(crate) async fn open(&self, actor: &str) {
        if self.closed.lock().expect("nobody panicked in here").remove(actor) {
            self.gate("pg_advisory_unlock", actor).await;
        }
    }

    async fn gate(&self, function: &str, actor: &str) {
        let sql = format!("SELECT {function}({GATE_CLASS}, hashtext($1))");
        self.keeper.execute(&sql, &[&application_name(actor)]).await.expect("a gate moves");
    }

    /// Lets an actor do something. What it does must use connections under its [`application_name`].
    pub(crate) fn start<T: Send + 'static>(
        &self,
        actor: &str,
        deed: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let task = tokio::spawn(deed);
        self.running.lock().expect("nobody panicked in here").insert(actor.to_owned(), task.abort_handle());
        task
    }

    /// Waits until nothing on the stage moves any more: every actor has its answer, or stands at its gate, or behind a
    /// lock of the test, or behind an actor of whom the same is true.
    ///
    /// # Panics
    /// When actors wait for each other in a circle; when they still move after [`PATIENCE`].
    pub(crate) async fn settle(&self) -> BTreeMap<String, Situation> {
        let started = Instant::now();
        let mut circles = 0;
        loop {
            // Who is done is asked first: who waited afterwards was not.
            let running = self.unfinished();
            let waiting = self.waiting().await;
            let held = waiting.held();
            if running.keys().all(|actor| running[actor] || held.contains(actor)) {
                let situation = |actor: &String| if running[actor] { Situation::Done } else { waiting.of(actor) };
                return running.keys().map(|actor| (actor.clone(), situation(actor))).collect();
            }
            circles = if waiting.circle() { circles + 1 } else { 0 };
            assert!(circles < LOOKS_DEADLOCK, "deadlock: {:?}", waiting.behind);
            assert!(started.elapsed() < PATIENCE, "still moving after {PATIENCE:?}: {running:?}, {:?}", waiting.behind);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Like [`Stage::settle`], and this is where everybody is.
    pub(crate) async fn expect<const N: usize>(&self, expected: [(&str, Situation); N]) {
        let found = self.settle().await;
        let expected: BTreeMap<String, Situation> = expected.map(|(actor, at)| (actor.to_owned(), at)).into();
        assert_eq!(found, expected);
    }

    /// Cancels what an actor waits for, as an operator or a statement timeout does.
    pub(crate) async fn cancel(&self, actor: &str) {
        let sql = r#"SELECT count(pg_cancel_backend("pid")) FROM pg_stat_activity
                     WHERE "datname" = current_database() AND "application_name" = $1 AND "wait_event_type" = 'Lock'"#;
        let row = self.watcher.query_one(sql, &[&application_name(actor)]).await.expect("cancelled");
        assert_eq!(row.get::<_, i64>(0), 1, "{actor} does not wait");
    }

    /// Actor → whether it is done.
    fn unfinished(&self) -> BTreeMap<String, bool> {
        let running = self.running.lock().expect("nobody panicked in here");
        running.iter().map(|(actor, task)| (actor.clone(), task.is_finished())).collect()
    }

    async fn waiting(&self) -> Waiting {
        let rows = self.watcher.query(WAITING, &[]).await.expect("sessions can be listed");
        let mut names: BTreeMap<i32, String> = BTreeMap::new();
        for row in &rows {
            names.insert(row.get(1), row.get::<_, String>(0).trim_start_matches("actor ").to_owned());
        }
        let mut waiting = Waiting::default();
        for row in &rows {
            let (pid, blockers): (i32, Vec<i32>) = (row.get(1), row.get(2));
            let name = &names[&pid];
            for blocker in blockers {
                let behind = waiting.behind.entry(name.clone()).or_default();
                match names.get(&blocker) {
                    Some(other) => drop(behind.actors.insert(other.clone())),
                    None if blocker == self.keeper_pid => behind.gate = true,
                    None => behind.outsider = true,
                }
            }
        }
        waiting
    }
}

impl Situation {
    /// Behind one actor.
    pub(crate) fn behind(actor: &str) -> Self {
        Self::Behind(BTreeSet::from([actor.to_owned()]))
    }
}

/// The name of an actor's connections.
pub(crate) fn application_name(actor: &str) -> String {
    format!("actor {actor}")
}

/// Whom an actor waits for.
#[derive(Debug, Default)]
struct Behind {
    gate: bool,
    outsider: bool,
    actors: BTreeSet<String>,
}

/// One look at everybody.
#[derive(Debug, Default)]
struct Waiting {
    behind: BTreeMap<String, Behind>,
}

impl Waiting {
    /// Actors that cannot move before the test does something.
    fn held(&self) -> BTreeSet<String> {
        let mut held: BTreeSet<String> = BTreeSet::new();
        loop {
            let more: Vec<&String> = self
                .behind
                .iter()
                .filter(|(name, _)| !held.contains(*name))
                .filter(|(_, behind)| behind.gate || behind.outsider || !behind.actors.is_disjoint(&held))
                .map(|(name, _)| name)
                .collect();
            if more.is_empty() {
                return held;
            }
            held.extend(more.into_iter().cloned().collect::<Vec<_>>());
        }
    }

    /// Whether somebody waits for himself, over any number of others.
    fn circle(&self) -> bool {
        let reaches_itself = |start: &String| {
            let mut reached: BTreeSet<&String> = BTreeSet::new();
            let mut next: Vec<&String> = vec![start];
            while let Some(name) = next.pop() {
                for other in self.behind.get(name).into_iter().flat_map(|behind| &behind.actors) {
                    if other == start {
                        return true;
                    }
                    if reached.insert(other) {
                        next.push(other);
                    }
                }
            }
            false
        };
        self.behind.keys().any(reaches_itself)
    }

    fn of(&self, actor: &str) -> Situation {
        match self.behind.get(actor) {
            Some(behind) if !behind.actors.is_empty() => Situation::Behind(behind.actors.clone()),
            Some(behind) if behind.outsider => Situation::Held,
            _ => Situation::AtGate,
        }
    }
}
