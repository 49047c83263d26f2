//! A running process whose database is locked, slow, read-only or configured unlike a test cluster: what does not wait
//! for it goes on, and what waits for it ends with an answer that may be repeated.

mod support;

use futures::future::join_all;
use millstream_testkit::{Holder, TestDatabase, World, wait_for, wait_until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::district;
use support::process::{Process, Setup};
use tempfile::TempDir;
use uuid::Uuid;

/// Id of the school, and the name of its class period.
const SCHOOL: i64 = 1;
const PERIOD: &str = "1st";
/// The flag of the longest wait for a lock.
const LOCK_TIMEOUT: &str = "--database-lock-timeout-ms";
/// Limit of a wait for a state of the process or the database.
const SOON: Duration = Duration::from_secs(60);
/// A request that waits for no lock is answered within this time, on a busy machine too.
const PROMPT: Duration = Duration::from_secs(10);

/// A process on a database of its own, with a school, a class period and a student.
struct Installation {
    database: TestDatabase,
    process: Process,
    period: Uuid,
    student: Uuid,
    _folder: TempDir,
}

impl Installation {
    async fn start(flags: &[&str]) -> Self {
        Self::on(World::fixtures().database().await, flags).await
    }

    async fn on(database: TestDatabase, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut all = vec!["--source-kind", "poll"];
        if !flags.contains(&LOCK_TIMEOUT) {
            all.extend([LOCK_TIMEOUT, "1000"]);
        }
        all.extend(flags);
        let setup = Setup {
            schema_dir: World::fixtures().corpus.schema_dir(),
            data_dir: folder.path().join("data"),
            database: database.options().clone(),
            listen: "127.0.0.1:0".to_owned(),
            flags: all.into_iter().map(str::to_owned).collect(),
        };
        let process = Process::start(&setup).await;
        let mut new = Self { database, process, period: Uuid::nil(), student: Uuid::nil(), _folder: folder };
        let http = &new.process.http;
        district::post_school(http, SCHOOL).await;
        new.period = district::post(http, "classPeriods", district::class_period(PERIOD, SCHOOL)).await;
        new.student = district::post(http, "students", student(0)).await;
        new
    }

    async fn post(&self, endpoint: &str, body: Value) -> u16 {
        self.process.http.post(&format!("meadow/{endpoint}"), body.to_string()).await.status
    }

    async fn rename(&self, name: &str) -> u16 {
        let mut body = district::class_period(name, SCHOOL);
        body["id"] = json!(self.period);
        self.process.http.put(&format!("meadow/classPeriods/{}", self.period), body.to_string()).await.status
    }

    /// Returns the statement that locks the identity of the class period, for `SHARE` or for `UPDATE`.
    fn identity_lock(&self, strength: &str) -> String {
        format!(
            r#"SELECT 1 FROM "dms"."IdentityLock" JOIN "dms"."Document" USING ("DocumentId")
               WHERE "DocumentUuid" = '{}' FOR {strength} OF "IdentityLock""#,
            self.period
        )
    }

    /// Reads the student; fails if the answer takes long.
    async fn reads_promptly(&self) {
        let started = Instant::now();
        let reply = self.process.http.get(&format!("meadow/students/{}", self.student)).await;
        assert_eq!(reply.status, 200);
        assert!(started.elapsed() < PROMPT, "a read took {:?}", started.elapsed());
    }

    async fn execute(&self, sql: &str) {
        self.database.session().await.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    fn alter(&self, setting: &str) -> String {
        format!("ALTER DATABASE \"{}\" {setting}", self.database.options().dbname())
    }

    /// Ends the sessions of the process, so that it opens new ones.
    async fn end_sessions(&self) {
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'millstream'",
        )
        .await;
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = self.process.http.metrics().await;
        let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
        line.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or_default()
    }
}

fn student(number: usize) -> Value {
    district::student(&format!("S-{number}"), "Ada")
}

/// Refers to the class period, whose identity can change.
fn enrolment(number: usize) -> Value {
    let mut body = district::enrolment_in_period("S-0", SCHOOL, PERIOD);
    body["entryDate"] = json!(format!("2030-{:02}-{:02}", number / 28 + 1, number % 28 + 1));
    body
}

/// One forgotten `SELECT … FOR SHARE`, one legal rename, and more writes than there are connections.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_lock_and_a_rename_stop_neither_reads_nor_health() {
    let installation = Installation::start(&[]).await;
    let holder = Holder::hold(&installation.database, &installation.identity_lock("SHARE")).await;
    let rename = installation.rename("renamed");
    let writes = join_all((0..40).map(|number| installation.post("studentSchoolAssociations", enrolment(number))));
    let reads = async {
        holder.wait_for_blocked(1).await;
        for _ in 0..10 {
            installation.reads_promptly().await;
            assert!(installation.process.http.is_ready().await, "the process is ready");
        }
    };
    let (rename, writes, ()) = tokio::join!(rename, writes, reads);
    assert_eq!(rename, 503, "the rename gives up");
    // Sharers of the same row are compatible with the forgotten one: they wait for the rename's rounds at most.
    assert!(writes.iter().all(|status| [200, 201, 503].contains(status)), "{writes:?}");
    assert!(installation.metric("millstream_store_lock_timeouts_total").await >= 1.0);
    holder.roll_back().await;
    assert_eq!(installation.rename("renamed").await, 204);
    installation.process.stop().await;
}

/// Requests whose clients hung up hold no connection.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_hang_up_leave_reads_usable() {
    let installation = Installation::start(&[]).await;
    let holder = Holder::hold(&installation.database, r#"LOCK TABLE "meadow"."School" IN ACCESS EXCLUSIVE MODE"#).await;
    let hang_up = || async {
        let hung_up = join_all((0..16).map(|_| async {
            let read = installation.process.http.try_get("meadow/schools");
            tokio::time::timeout(Duration::from_millis(150), read).await
        }));
        hung_up.await;
    };
    for _ in 0..5 {
        hang_up().await;
    }
    installation.reads_promptly().await;
    // On a busy machine a client may be gone before its statement is sent.
    wait_until("more statements to be abandoned than there are connections", SOON, || async {
        hang_up().await;
        installation.metric("millstream_store_abandoned_statements_total").await >= 16.0
    })
    .await;
    let session = installation.database.session().await;
    wait_until("the abandoned statements to be cancelled", SOON, || async {
        let sql = r#"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
                     AND query LIKE '%"School"%' AND pid <> pg_backend_pid()"#;
        session.query_one(sql, &[]).await.expect("reads").get::<_, i64>(0) == 0
    })
    .await;
    holder.roll_back().await;
    installation.process.stop().await;
}

/// Limits that a host set for its role or database do not reach the sessions of the process.
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_role_make_no_write_fail() {
    let database = World::fixtures().database().await;
    let name = database.options().dbname().to_owned();
    let admin = database.session().await;
    for setting in [
        "lock_timeout = '1ms'",
        "statement_timeout = '1s'",
        "idle_in_transaction_session_timeout = '1ms'",
        "idle_session_timeout = '2s'",
        "default_transaction_isolation = 'serializable'",
    ] {
        admin.batch_execute(&format!("ALTER DATABASE \"{name}\" SET {setting}")).await.expect("set");
    }
    let installation = Installation::on(database, &[LOCK_TIMEOUT, "20000"]).await;
    let holder = Holder::hold(&installation.database, &installation.identity_lock("UPDATE")).await;
    let write = installation.post("studentSchoolAssociations", enrolment(1));
    let release = async {
        holder.wait_for_blocked(1).await;
        // Longer than the longest of them. Nothing tells when a limit that must not act would have acted.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        holder.roll_back().await;
    };
    let (written, ()) = tokio::join!(write, release);
    assert_eq!(written, 201, "it waited for the lock, longer than the host's limits");
    installation.process.stop().await;
}

/// A switchover: writes are answered with 503 while the server only reads, and succeed afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn writes_succeed_again_after_a_time_of_reading_only() {
    let installation = Installation::start(&[]).await;
    installation.execute(&installation.alter("SET default_transaction_read_only = on")).await;
    installation.end_sessions().await;
    wait_until("a write to be refused", SOON, || async {
        let status = installation.post("students", student(1)).await;
        assert_ne!(status, 500, "read-only is not a defect");
        status == 503
    })
    .await;
    installation.reads_promptly().await;
    wait_until("readiness to say so", SOON, || async { !installation.process.http.is_ready().await }).await;

    let session = installation.database.session().await;
    session.batch_execute("SET default_transaction_read_only = off").await.expect("set");
    session.batch_execute(&installation.alter("RESET default_transaction_read_only")).await.expect("reset");
    // Without ending the sessions: each is replaced when it answers "read-only".
    let started = Instant::now();
    let refused = wait_for("a write to succeed", SOON, || async {
        let status = installation.post("students", student(1)).await;
        assert_ne!(status, 500, "read-only is not a defect");
        (status == 201).then_some(())
    });
    refused.await;
    assert!(started.elapsed() < PROMPT, "sessions were not replaced: {:?}", started.elapsed());
    wait_until("the process to be ready", SOON, || async { installation.process.http.is_ready().await }).await;
    installation.process.stop().await;
}

/// A write that finds all connections taken waits in the process and is refused before it has taken a lock.
#[tokio::test(flavor = "multi_thread")]
async fn writes_beyond_the_pool_wait_in_the_process() {
    let installation = Installation::start(&["--database-pool-size", "8", LOCK_TIMEOUT, "20000"]).await;
    let holder = Holder::hold(&installation.database, &installation.identity_lock("UPDATE")).await;
    let writes = join_all((0..6).map(|number| installation.post("studentSchoolAssociations", enrolment(number))));
    let observe = async {
        holder.wait_for_blocked(2).await;
        installation.reads_promptly().await;
        assert!(installation.process.http.is_ready().await);
        wait_until("the others to be refused", SOON, || async {
            installation.metric("millstream_database_pool_waiting{pool=\"writes\"}").await == 0.0
                && holder.blocked().await <= 2
        })
        .await;
        holder.roll_back().await;
    };
    let (writes, ()) = tokio::join!(writes, observe);
    assert!(writes.iter().all(|status| [201, 503].contains(status)), "{writes:?}");
    assert!(writes.contains(&201), "those with a connection went on: {writes:?}");
    installation.process.stop().await;
}
