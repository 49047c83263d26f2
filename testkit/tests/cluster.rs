//! The temporary cluster: templates, removal of databases, crashes, and cleanup after the process.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use millstream_store::connect::{Database, Session};
use millstream_testkit::{TestCluster, TestDatabase, slots, wait_for, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);

async fn table_of_five(database: Database) -> Result<(), millstream_store::error::StoreError> {
    let client = database.get().await?;
    client.batch_execute("CREATE TABLE five AS SELECT * FROM generate_series(1, 5)").await?;
    Ok(())
}

async fn count(database: &TestDatabase) -> i64 {
    let client = database.database().get().await.expect("connects");
    client.query_one("SELECT count(*) FROM five", &[]).await.expect("counts").get(0)
}

#[tokio::test]
async fn a_template_is_created_once_and_copied() {
    static CREATED: AtomicU32 = AtomicU32::new(0);
    let make = |database| async {
        CREATED.fetch_add(1, Ordering::Relaxed);
        table_of_five(database).await
    };
    let (first, second) =
        tokio::join!(TestDatabase::from_template("five", make), TestDatabase::from_template("five", make));
    assert_eq!(CREATED.load(Ordering::Relaxed), 1);
    let client = first.database().get().await.expect("connects");
    client.execute("DELETE FROM five", &[]).await.expect("deletes");
    assert_eq!((count(&first).await, count(&second).await), (0, 5));
}

#[tokio::test]
async fn a_database_is_dropped_with_its_slots_and_sessions() {
    let database = TestDatabase::create().await;
    let name = database.options().dbname().to_owned();
    let session = database.session().await;
    slots::create(&session, "goes_away").await;
    let _busy = database.database().get().await.expect("connects");
    drop(database);
    let cluster = TestCluster::shared().await;
    let admin = Session::open(&cluster.connect_options("postgres")).await.expect("connects");
    let left = admin
        .query_one(
            "SELECT (SELECT count(*) FROM pg_database WHERE datname = $1)
                  + (SELECT count(*) FROM pg_replication_slots WHERE database = $1)",
            &[&name],
        )
        .await
        .expect("counts");
    assert_eq!(left.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_crashed_cluster_restarts_with_its_commits() {
    let mut cluster = TestCluster::start(TestCluster::durable_options()).await;
    let options = cluster.connect_options("postgres");
    let session = Session::open(&options).await.expect("connects");
    session.batch_execute("CREATE TABLE kept AS SELECT 1 AS one").await.expect("made");
    let pid = cluster.pid();
    cluster.crash_and_restart().await;
    assert_ne!(cluster.pid(), pid);
    let session = Session::open(&options).await.expect("connects, on the same port");
    session.query_one("SELECT one FROM kept", &[]).await.expect("kept");
    cluster.restart().await;
}

/// The process that the next test starts and kills; without the environment variable it does nothing.
#[tokio::test]
async fn doomed_process() {
    let Some(report) = std::env::var_os("MILLSTREAM_TEST_DOOMED") else { return };
    let cluster = TestCluster::shared().await;
    let partial = PathBuf::from(&report).with_extension("partial");
    fs::write(&partial, format!("{}\n{}", cluster.pid(), cluster.directory().display())).expect("written");
    fs::rename(partial, report).expect("renamed");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_server_and_no_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report");
    let mut doomed = Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "doomed_process"])
        .env("MILLSTREAM_TEST_DOOMED", &report)
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    let text = wait_for("the other process has its cluster", DEADLINE, || {
        std::future::ready(fs::read_to_string(&report).ok())
    })
    .await;
    doomed.kill().and_then(|()| doomed.wait()).expect("killed");
    let (pid, directory) = text.split_once('\n').expect("two lines");
    let server = PathBuf::from("/proc").join(pid);
    wait_until("server and directory are gone", DEADLINE, || {
        std::future::ready(!PathBuf::from(directory).exists() && !server.exists())
    })
    .await;
}
