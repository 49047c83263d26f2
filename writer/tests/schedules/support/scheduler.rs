//! The scheduler: gates at which actors stop just before their commit, and the detection of where each actor waits.
//!
//! Every actor connects with its own `application_name`, and a trigger on `dms.Outbox` waits for an advisory lock derived
//! from that name. The outbox row is the last statement of a write, so an actor at its gate has taken all its locks, drawn
//! all its versions and written all its rows, and is not visible. Elsewhere actors stop only behind each other's locks.

use super::fixture::{Fixture, TIMEOUT};
use millstream_store::connect::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinHandle};

/// Advisory lock of the writer: sharers pass it, and renamers hold it while they collect row locks.
pub(crate) const TURNSTILE_LOCK: i64 = 0x6d73_7475_726e;
/// Advisory lock of the writer: held from the first version that a rename draws to the end of its transaction.
pub(crate) const RENAME_LOCK: i64 = 0x6d73_7265_6e61;

/// First key of the advisory locks of gates.
const GATE_CLASS: i32 = 0x7374_6167;
/// Pause between two polls of the lock waits.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// Consecutive polls that must show a cycle of waits before it counts as a deadlock.
const DEADLOCK_POLLS: u32 = 20;

const INSTALL: &str = r#"
CREATE FUNCTION public.schedule_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared({class}, hashtext(current_setting('application_name')));
    PERFORM pg_advisory_unlock_shared({class}, hashtext(current_setting('application_name')));
    RETURN NULL;
END $$;
CREATE TRIGGER schedule_gate BEFORE INSERT ON "dms"."Outbox" FOR EACH STATEMENT EXECUTE FUNCTION public.schedule_gate();"#;

/// Lists the sessions of actors with the sessions that block them.
const WAITING: &str = r#"
SELECT "application_name", "pid", CASE WHEN "wait_event_type" = 'Lock' THEN pg_blocking_pids("pid") ELSE '{}' END
FROM pg_stat_activity WHERE "datname" = current_database() AND "application_name" LIKE 'actor %'"#;

/// The position of an actor when no actor moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Situation {
    /// Its request is answered.
    Done,
    /// At its gate, before its commit.
    AtGate,
    /// Behind a lock that the test itself holds.
    Held,
    /// Behind these actors.
    Behind(BTreeSet<String>),
}

/// The gates and the running requests.
pub(crate) struct Scheduler {
    keeper: Session,
    keeper_pid: i32,
    watcher: Session,
    closed: Mutex<BTreeSet<String>>,
    running: Mutex<BTreeMap<String, AbortHandle>>,
}

impl Scheduler {
    /// Installs the gates in a database, all open.
    pub(crate) async fn install(fixture: &Fixture) -> Self {
        let (keeper, watcher) = (fixture.test_database().session().await, fixture.test_database().session().await);
        let install = INSTALL.replace("{class}", &GATE_CLASS.to_string());
        keeper.batch_execute(&install).await.expect("the gates are installed");
        let keeper_pid = keeper.query_one("SELECT pg_backend_pid()", &[]).await.expect("a session has a pid").get(0);
        Self { keeper, keeper_pid, watcher, closed: Mutex::default(), running: Mutex::default() }
    }

    /// Closes an actor's gate, if it is open.
    pub(crate) async fn close(&self, actor: &str) {
        if self.closed.lock().expect("not poisoned").insert(actor.to_owned()) {
            self.gate("pg_advisory_lock", actor).await;
        }
    }

    /// Opens an actor's gate, if it is closed.
    pub(crate) async fn open(&self, actor: &str) {
        if self.closed.lock().expect("not poisoned").remove(actor) {
            self.gate("pg_advisory_unlock", actor).await;
        }
    }

    async fn gate(&self, function: &str, actor: &str) {
        let sql = format!("SELECT {function}({GATE_CLASS}, hashtext($1))");
        self.keeper.execute(&sql, &[&application_name(actor)]).await.expect("the gate is switched");
    }

    /// Starts a request of an actor, which must use connections with its [`application_name`].
    pub(crate) fn start<T: Send + 'static>(
        &self,
        actor: &str,
        request: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let task = tokio::spawn(request);
        self.running.lock().expect("not poisoned").insert(actor.to_owned(), task.abort_handle());
        task
    }

    /// Waits until no actor moves: each is answered, at its gate, behind a lock of the test, or behind another actor that
    /// does not move.
    ///
    /// # Panics
    /// Panics if actors deadlock, or still move after [`TIMEOUT`].
    pub(crate) async fn settle(&self) -> BTreeMap<String, Situation> {
        let started = Instant::now();
        let mut cycles = 0;
        loop {
            // Check for finished actors before the lock waits: an actor that waits afterwards was not finished.
            let running = self.unfinished();
            let waiting = self.waiting().await;
            let held = waiting.held();
            if running.keys().all(|actor| running[actor] || held.contains(actor)) {
                let situation = |actor: &String| if running[actor] { Situation::Done } else { waiting.of(actor) };
                return running.keys().map(|actor| (actor.clone(), situation(actor))).collect();
            }
            cycles = if waiting.has_cycle() { cycles + 1 } else { 0 };
            assert!(cycles < DEADLOCK_POLLS, "deadlock: {:?}", waiting.behind);
            assert!(started.elapsed() < TIMEOUT, "still moving after {TIMEOUT:?}: {running:?}, {:?}", waiting.behind);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits like [`Scheduler::settle`] and checks where every actor is.
    pub(crate) async fn expect<const N: usize>(&self, expected: [(&str, Situation); N]) {
        let found = self.settle().await;
        let expected: BTreeMap<String, Situation> = expected.map(|(actor, at)| (actor.to_owned(), at)).into();
        assert_eq!(found, expected);
    }

    /// Cancels the waiting statement of an actor, as an operator or a statement timeout does.
    pub(crate) async fn cancel(&self, actor: &str) {
        let sql = r#"SELECT count(pg_cancel_backend("pid")) FROM pg_stat_activity
                     WHERE "datname" = current_database() AND "application_name" = $1 AND "wait_event_type" = 'Lock'"#;
        let row = self.watcher.query_one(sql, &[&application_name(actor)]).await.expect("cancelled");
        assert_eq!(row.get::<_, i64>(0), 1, "{actor} does not wait");
    }

    /// Returns for each actor whether its request is finished.
    fn unfinished(&self) -> BTreeMap<String, bool> {
        let running = self.running.lock().expect("not poisoned");
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
                    None => behind.test = true,
                }
            }
        }
        waiting
    }
}

impl Situation {
    /// Returns the situation of waiting behind one actor.
    pub(crate) fn behind(actor: &str) -> Self {
        Self::Behind(BTreeSet::from([actor.to_owned()]))
    }
}

/// Returns the `application_name` of an actor's connections.
pub(crate) fn application_name(actor: &str) -> String {
    format!("actor {actor}")
}

/// The blockers of one actor.
#[derive(Debug, Default)]
struct Blockers {
    gate: bool,
    test: bool,
    actors: BTreeSet<String>,
}

/// The lock waits at one moment.
#[derive(Debug, Default)]
struct Waiting {
    behind: BTreeMap<String, Blockers>,
}

impl Waiting {
    /// Returns the actors that cannot move until the test opens a gate or releases a lock.
    fn held(&self) -> BTreeSet<String> {
        let mut held: BTreeSet<String> = BTreeSet::new();
        loop {
            let more: Vec<&String> = self
                .behind
                .iter()
                .filter(|(name, _)| !held.contains(*name))
                .filter(|(_, behind)| behind.gate || behind.test || !behind.actors.is_disjoint(&held))
                .map(|(name, _)| name)
                .collect();
            if more.is_empty() {
                return held;
            }
            held.extend(more.into_iter().cloned().collect::<Vec<_>>());
        }
    }

    /// Returns whether an actor waits for itself through any number of others.
    fn has_cycle(&self) -> bool {
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
            Some(behind) if behind.test => Situation::Held,
            _ => Situation::AtGate,
        }
    }
}
