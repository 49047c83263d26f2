//! The sessions of a pool: their hook, their limits, and which of them are used again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, join_all};
use millstream_store::{
    connect::{Database, PoolOptions, PoolerError, SessionSettings, SessionSetup, check_sessions},
    error::{ErrorKind, StoreError},
};
use millstream_testkit::{FaultProxy, Holder, Pooler, TestCluster, TestDatabase, wait_for};

/// Longest wait for the server's side of a cancel or a close.
const SOON: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
struct Counting {
    sessions: AtomicUsize,
    refuses: bool,
}

impl SessionSetup for Counting {
    fn prepare<'a>(&'a self, session: &'a tokio_postgres::Client) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            session.batch_execute("SELECT").await?;
            self.sessions.fetch_add(1, Ordering::Relaxed);
            if self.refuses { Err(StoreError::other("another database")) } else { Ok(()) }
        })
    }
}

fn pool(database: &TestDatabase, options: PoolOptions) -> Database {
    Database::new(database.options(), options).expect("a pool")
}

async fn backend(database: &Database) -> i32 {
    let client = database.get().await.expect("connects");
    client.query_one("SELECT pg_backend_pid()", &[]).await.expect("reads").get(0)
}

#[tokio::test]
async fn the_hook_runs_once_on_each_new_session_and_its_error_reaches_the_caller() {
    let database = TestDatabase::create().await;
    let hook = Arc::new(Counting::default());
    let counted =
        pool(&database, PoolOptions { setup: Some(Arc::<Counting>::clone(&hook)), ..PoolOptions::of_size(2) });
    for _ in 0..3 {
        drop(counted.get().await.expect("connects"));
    }
    assert_eq!(hook.sessions.load(Ordering::Relaxed), 1);
    let (first, second) = (counted.get().await.expect("connects"), counted.get().await.expect("connects"));
    assert_eq!(hook.sessions.load(Ordering::Relaxed), 2);
    drop((first, second));

    let hook = Arc::new(Counting { refuses: true, ..Counting::default() });
    let refused = pool(&database, PoolOptions { setup: Some(hook), ..PoolOptions::of_size(1) });
    let error = refused.get().await.expect_err("the hook refuses");
    assert_eq!((error.kind(), error.to_string().as_str()), (&ErrorKind::Other, "another database"));
}

#[tokio::test]
async fn an_abandoned_statement_is_cancelled_and_its_session_not_used_again() {
    let database = TestDatabase::create().await;
    let admin = database.session().await;
    let one = pool(&database, PoolOptions::of_size(1));
    let abandoned = backend(&one).await;
    let waits = async {
        let client = one.get().await.expect("connects");
        client.batch_execute("SELECT pg_sleep(600)").await
    };
    tokio::time::timeout(Duration::from_millis(100), waits).await.expect_err("it sleeps");
    let next = tokio::time::timeout(SOON, backend(&one)).await.expect("the next caller does not wait for it");
    assert_ne!(next, abandoned);
    wait_for("the statement to be cancelled", SOON, || async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
        let active: i64 = admin.query_one(sql, &[&abandoned]).await.expect("reads").get(0);
        (active == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_abandoned_statements_leave_the_pool_usable() {
    let database = TestDatabase::create().await;
    let holder = Holder::hold(&database, "CREATE TABLE t (a int)").await;
    holder.commit().await;
    let _holder = Holder::hold(&database, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await;
    let few = pool(&database, PoolOptions::of_size(4));
    for _ in 0..40 {
        let waits = async { few.get().await.expect("connects").query("SELECT a FROM t", &[]).await };
        tokio::time::timeout(Duration::from_millis(20), waits).await.expect_err("the table is locked");
    }
    tokio::time::timeout(SOON, backend(&few)).await.expect("another statement is answered");
}

#[tokio::test]
async fn a_statement_beyond_its_limit_is_a_lost_connection_and_ends_its_session() {
    let database = TestDatabase::create().await;
    let limited = PoolOptions { statement_limit: Some(Duration::from_millis(100)), ..PoolOptions::of_size(1) };
    let limited = pool(&database, limited);
    let before = backend(&limited).await;
    let error = {
        let mut client = limited.get().await.expect("connects");
        let transaction = client.transaction().await.expect("begins");
        transaction.query("SELECT pg_sleep(600)", &[]).await.expect_err("it takes too long")
    };
    assert_eq!(error.kind(), &ErrorKind::ConnectionLost, "{error}");
    let client = limited.get().await.expect("connects");
    client.set_statement_limit(None);
    let after: i32 = client.query_one("SELECT pg_backend_pid() FROM pg_sleep(0.3)", &[]).await.expect("reads").get(0);
    assert_ne!(before, after);
    drop(client);
    let client = limited.get().await.expect("connects");
    client.query("SELECT pg_sleep(600)", &[]).await.expect_err("the limit of the pool holds again");
}

/// A server that vanishes takes all sessions with it. The first caller waits until its limit; the others do not.
#[tokio::test]
async fn the_sessions_of_a_server_that_vanished_cost_one_caller_its_limit() {
    let database = TestDatabase::create().await;
    let proxy = FaultProxy::start(TestCluster::shared().await.address()).await;
    let through = database.options().clone().with_address("127.0.0.1", proxy.address().port());
    let limit = Duration::from_secs(1);
    let options = PoolOptions { statement_limit: Some(limit), ..PoolOptions::of_size(8) };
    let pool = Database::new(&through, options).expect("a pool");
    let opened = join_all((0..8).map(|_| pool.get())).await;
    assert!(opened.iter().all(Result::is_ok));
    drop(opened);
    proxy.black_hole();
    let begun = Instant::now();
    let read = async || pool.get().await?.query_one("SELECT 1", &[]).await;
    read().await.expect_err("its server does not answer");
    for _ in 0..16 {
        read().await.expect("it gets another session");
    }
    assert!(begun.elapsed() < 6 * limit, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_session_that_only_reads_is_replaced() {
    let database = TestDatabase::create().await;
    let one = pool(&database, PoolOptions::of_size(1));
    let before = backend(&one).await;
    {
        let client = one.get().await.expect("connects");
        client.batch_execute("SET default_transaction_read_only = on").await.expect("set");
        let error = client.batch_execute("CREATE TABLE t (a int)").await.expect_err("read-only");
        assert_eq!((error.kind(), error.sqlstate()), (&ErrorKind::ReadOnly, Some("25006")));
    }
    assert_ne!(before, backend(&one).await);
}

#[tokio::test]
async fn a_session_that_the_server_ended_is_replaced() {
    let database = TestDatabase::create().await;
    let settings =
        SessionSettings { idle_in_transaction_timeout: Some(Duration::from_millis(50)), ..SessionSettings::default() };
    let one = pool(&database, PoolOptions { settings, ..PoolOptions::of_size(1) });
    let mut client = one.get().await.expect("connects");
    let transaction = client.transaction().await.expect("begins");
    let error = wait_for("the server to end the session", SOON, || async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        transaction.batch_execute("SELECT").await.err()
    })
    .await;
    assert_eq!(error.kind(), &ErrorKind::ConnectionLost, "{error}");
    drop(transaction);
    drop(client);
    backend(&one).await;
}

#[tokio::test]
async fn prepared_statements_of_a_session_are_bounded() {
    let database = TestDatabase::create().await;
    let client = database.database().get().await.expect("connects");
    for number in 0..700 {
        client.prepare_cached(&format!("SELECT {number}")).await.expect("prepared");
    }
    // Closing is not waited for; the next statement comes after it.
    let sql =
        "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT _%' AND statement NOT LIKE '%FROM%'";
    let kept: i64 = client.query_one(sql, &[]).await.expect("reads").get(0);
    assert_eq!(kept, 500);
    let again = client.prepare_cached("SELECT 699").await.expect("kept");
    client.query(&again, &[]).await.expect("usable");
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_told_apart_from_a_server() {
    let database = TestDatabase::create().await;
    check_sessions(database.options()).await.expect("a server");

    let Some(session_mode) = Pooler::start(database.options(), "session").await else { return };
    let through = session_mode.options(database.options());
    check_sessions(&through).await.expect("each client has a session of its own");
    let pool = Database::connect(&through, 2).await.expect("connects");
    let row = pool.get().await.expect("connects").query_one("SELECT current_setting('jit')", &[]).await;
    assert_eq!(row.expect("reads").get::<_, String>(0), "off", "settings reach the session");
    pool.close();

    let Some(transaction_mode) = Pooler::start(database.options(), "transaction").await else { return };
    let through = transaction_mode.options(database.options());
    let error = check_sessions(&through).await.expect_err("clients share sessions");
    assert!(matches!(error, PoolerError::TransactionMode { .. }), "{error}");
    assert!(error.to_string().contains("connect directly") && error.to_string().contains("session mode"), "{error}");

    let url = format!(
        "postgres://postgres@127.0.0.1:{}/{}?sslmode=disable&options=-c%20jit%3Doff",
        through.port(),
        through.dbname()
    );
    let error = check_sessions(&url.parse().expect("options")).await.expect_err("an unknown start parameter");
    assert!(matches!(error, PoolerError::StartParameter { .. }), "{error}");
}
