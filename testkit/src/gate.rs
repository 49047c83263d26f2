//! Stopping sessions at a chosen point from outside: production code has no hooks for this.
//!
//! A [`Gate`] is a trigger in the test database that takes an advisory lock whenever a statement writes to a table;
//! while the gate is closed, every transaction waits there. A [`Holder`] is another session with an open transaction
//! that holds the locks of its statements. With both, a test waits until a session has arrived, performs the concurrent
//! action, and releases the session.

use std::{
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

use millstream_store::connect::Session;

use crate::{database::TestDatabase, wait::wait_until};

/// Time limit for the arrival of a session.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(20);
/// First key of the gates' advisory locks.
const GATE_CLASS: i32 = 0x6761_7465;

static NEXT_KEY: AtomicI32 = AtomicI32::new(1);

/// The event at which a gate stops a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateAt {
    /// Before the rows of an `INSERT` are written.
    BeforeInsert,
    /// After the rows of an `INSERT` are written.
    AfterInsert,
    /// Before the rows of an `UPDATE` are locked and written.
    BeforeUpdate,
    /// After the rows of an `UPDATE` are written.
    AfterUpdate,
    /// Before the rows of a `DELETE` are locked and removed.
    BeforeDelete,
    /// After the rows of a `DELETE` are removed.
    AfterDelete,
}

impl GateAt {
    fn sql(self) -> &'static str {
        match self {
            Self::BeforeInsert => "BEFORE INSERT",
            Self::AfterInsert => "AFTER INSERT",
            Self::BeforeUpdate => "BEFORE UPDATE",
            Self::AfterUpdate => "AFTER UPDATE",
            Self::BeforeDelete => "BEFORE DELETE",
            Self::AfterDelete => "AFTER DELETE",
        }
    }
}

/// A point at which transactions wait while the gate is closed. A new gate is open.
#[derive(Debug)]
pub struct Gate {
    keeper: Session,
    key: i32,
}

impl Gate {
    /// Adds a gate to a table (`"dms"."Outbox"`) of the test database.
    pub async fn on_table(database: &TestDatabase, table: &str, at: GateAt) -> Self {
        let keeper = database.session().await;
        let key = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        let trigger = format!("gate_{key}");
        keeper
            .batch_execute(&format!(
                r#"CREATE FUNCTION public."{trigger}"() RETURNS trigger LANGUAGE plpgsql AS $$
                   BEGIN
                       PERFORM pg_advisory_lock_shared({GATE_CLASS}, {key});
                       PERFORM pg_advisory_unlock_shared({GATE_CLASS}, {key});
                       RETURN NULL;
                   END $$;
                   CREATE TRIGGER "{trigger}" {at} ON {table}
                       FOR EACH STATEMENT EXECUTE FUNCTION public."{trigger}"();"#,
                at = at.sql()
            ))
            .await
            .unwrap_or_else(|error| panic!("cannot add a gate to {table}: {error:?}"));
        Self { keeper, key }
    }

    /// Closes the gate: sessions that arrive wait.
    pub async fn close(&self) {
        self.keeper
            .execute("SELECT pg_advisory_lock($1::int4, $2::int4)", &[&GATE_CLASS, &self.key])
            .await
            .expect("the gate closes");
    }

    /// Opens the gate and releases the waiting sessions.
    pub async fn open(&self) {
        let row = self
            .keeper
            .query_one("SELECT pg_advisory_unlock($1::int4, $2::int4)", &[&GATE_CLASS, &self.key])
            .await
            .expect("the gate opens");
        assert!(row.get::<_, bool>(0), "the gate was not closed");
    }

    /// Counts the sessions that wait at the gate.
    pub async fn waiting(&self) -> i64 {
        self.keeper
            .query_one(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                     AND classid = $1::int8::oid AND objid = $2::int8::oid
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                &[&i64::from(GATE_CLASS), &i64::from(self.key)],
            )
            .await
            .expect("locks can be listed")
            .get(0)
    }

    /// Waits until at least `count` sessions wait at the gate.
    ///
    /// # Panics
    /// When they do not arrive within 20 seconds.
    pub async fn wait_for(&self, count: i64) {
        wait_until(&format!("{count} sessions at the gate"), ARRIVAL_DEADLINE, || async {
            self.waiting().await >= count
        })
        .await;
    }
}

/// A session with an open transaction that holds the locks of its statements.
#[derive(Debug)]
pub struct Holder {
    session: Session,
    observer: Session,
    pid: i32,
}

impl Holder {
    /// Opens a transaction and executes `sql` in it, for instance a `SELECT … FOR UPDATE` or an advisory lock.
    pub async fn hold(database: &TestDatabase, sql: &str) -> Self {
        let session = database.session().await;
        let observer = database.session().await;
        let pid = session.query_one("SELECT pg_backend_pid()", &[]).await.expect("a session has a pid").get(0);
        let holder = Self { session, observer, pid };
        holder.execute(&format!("BEGIN; {sql}")).await;
        holder
    }

    /// Executes more statements in the same transaction.
    pub async fn execute(&self, sql: &str) {
        self.session.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Counts the sessions that wait for this one.
    pub async fn blocked(&self) -> i64 {
        self.observer
            .query_one(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                     AND $1::int4 = ANY (pg_blocking_pids(pid))",
                &[&self.pid],
            )
            .await
            .expect("sessions can be listed")
            .get(0)
    }

    /// Waits until at least `count` sessions wait for this one.
    ///
    /// # Panics
    /// When they do not arrive within 20 seconds.
    pub async fn wait_for_blocked(&self, count: i64) {
        wait_until(&format!("{count} sessions behind the holder"), ARRIVAL_DEADLINE, || async {
            self.blocked().await >= count
        })
        .await;
    }

    /// Commits the transaction.
    pub async fn commit(self) {
        self.execute("COMMIT").await;
    }

    /// Rolls the transaction back.
    pub async fn roll_back(self) {
        self.execute("ROLLBACK").await;
    }
}
