//! Holding sessions at a chosen point, from outside: production code has no hooks for this.
//!
//! A [`Gate`] is a trigger in the test database that waits at an advisory lock whenever a statement writes to a table;
//! closed, it stops every transaction just there. A [`Holder`] is a second session with an open transaction that holds
//! whatever locks its statements took; others run into them. With both, the test waits until somebody has arrived, does
//! what is to happen meanwhile, and lets go.

use std::{
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

use millstream_store::connect::Session;

use crate::{database::TestDatabase, wait::wait_until};

/// How long a session may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(20);
/// First key of the advisory locks that are gates.
const GATE_CLASS: i32 = 0x6761_7465;

static NEXT_KEY: AtomicI32 = AtomicI32::new(1);

/// Before or after what a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateAt {
    /// Before the rows of an `INSERT` are written.
    BeforeInsert,
    /// After them.
    AfterInsert,
    /// Before the rows of an `UPDATE` are locked and written.
    BeforeUpdate,
    /// After them.
    AfterUpdate,
    /// Before the rows of a `DELETE` are locked and removed.
    BeforeDelete,
    /// After them.
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

/// A point at which transactions wait while it is closed. It starts open.
#[derive(Debug)]
pub struct Gate {
    keeper: Session,
    key: i32,
}

impl Gate {
    /// Builds a gate into a table (`"dms"."Outbox"`) of the test database.
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
            .unwrap_or_else(|error| panic!("no gate on {table}: {error:?}"));
        Self { keeper, key }
    }

    /// Closes the gate: whoever comes now waits.
    pub async fn close(&self) {
        self.keeper
            .execute("SELECT pg_advisory_lock($1::int4, $2::int4)", &[&GATE_CLASS, &self.key])
            .await
            .expect("the gate closes");
    }

    /// Opens the gate; those who wait go on.
    pub async fn open(&self) {
        let row = self
            .keeper
            .query_one("SELECT pg_advisory_unlock($1::int4, $2::int4)", &[&GATE_CLASS, &self.key])
            .await
            .expect("the gate opens");
        assert!(row.get::<_, bool>(0), "the gate was not closed");
    }

    /// How many sessions wait at the gate.
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
    /// When they do not come within 20 seconds.
    pub async fn wait_for(&self, count: i64) {
        wait_until(&format!("{count} sessions at the gate"), ARRIVAL, || async { self.waiting().await >= count }).await;
    }
}

/// A session with an open transaction that holds the locks of what it executed.
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

    /// Executes more in the same transaction.
    pub async fn execute(&self, sql: &str) {
        self.session.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// How many sessions wait for this one.
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
    /// When they do not come within 20 seconds.
    pub async fn wait_for_blocked(&self, count: i64) {
        wait_until(&format!("{count} sessions behind the holder"), ARRIVAL, || async { self.blocked().await >= count })
            .await;
    }

    /// Ends the transaction, keeping what it did.
    pub async fn commit(self) {
        self.execute("COMMIT").await;
    }

    /// Ends the transaction, undoing what it did.
    pub async fn roll_back(self) {
        self.execute("ROLLBACK").await;
    }
}
