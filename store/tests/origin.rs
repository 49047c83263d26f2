//! The check of every new session, on real servers.

use millstream_store::connect::{ConnectOptions, Database, PoolOptions, SessionSetup};
use millstream_store::origin::Origin;
use millstream_store::provision::apply;
use millstream_testkit::{FaultProxy, TestCluster, World, wait_for};
use std::sync::Arc;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);

fn checked(options: &ConnectOptions, origin: &Arc<Origin>) -> Database {
    let setup: Arc<dyn SessionSetup> = Arc::<Origin>::clone(origin);
    let pool = PoolOptions { setup: Some(setup), ..PoolOptions::of_size(4) };
    Database::new(options, pool).expect("a pool")
}

async fn text(database: &Database, sql: &str) -> String {
    database.get().await.expect("a connection").query_one(sql, &[]).await.expect("one row").get(0)
}

const HISTORY: &str = r#"SELECT "History"::text FROM "dms"."EffectiveSchema""#;
const UUID: &str = r#"SELECT "DatabaseUuid"::text FROM "dms"."EffectiveSchema""#;

/// A provisioned database on a cluster of its own, always under the same name.
async fn provisioned(cluster: &TestCluster) -> ConnectOptions {
    let admin = Database::connect(&cluster.connect_options("postgres"), 1).await.expect("connected");
    admin.get().await.expect("a connection").batch_execute("CREATE DATABASE district").await.expect("created");
    let options = cluster.connect_options("district");
    let world = World::fixtures();
    let database = Database::connect(&options, 1).await.expect("connected");
    apply(&database, &world.schema, &world.ddl).await.expect("applied");
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_at_the_address_is_refused_by_name_and_the_right_one_is_taken_again() {
    let (here, there) =
        tokio::join!(TestCluster::start(TestCluster::fast_options()), TestCluster::start(TestCluster::fast_options()));
    let (right, wrong) = (provisioned(&here).await, provisioned(&there).await);
    let proxy = FaultProxy::start(here.address()).await;
    // The password belongs to the server that the address leads to.
    let admin = Database::connect(&there.connect_options("postgres"), 1).await.expect("connected");
    let password = String::from_utf8_lossy(right.password().expect("a password")).into_owned();
    let same = format!("ALTER ROLE {} PASSWORD '{password}'", right.user());
    admin.get().await.expect("a connection").batch_execute(&same).await.expect("altered");
    let uuid_of = async |options: &ConnectOptions| {
        let options = options.clone().with_password(&password);
        text(&Database::connect(&options, 1).await.expect("connected"), UUID).await
    };
    let (expected, found) = (uuid_of(&right).await, uuid_of(&wrong).await);

    let origin = Arc::new(Origin::default());
    let database = checked(&right.clone().with_address("127.0.0.1", proxy.address().port()), &origin);
    assert_eq!(text(&database, UUID).await, expected);
    proxy.redirect(there.address());
    let refused = wait_for("a new session to be refused", DEADLINE, || async {
        let error = database.get().await.err()?;
        error.to_string().contains("another one").then_some(error)
    })
    .await;
    let message = refused.to_string();
    assert!(message.contains(&expected) && message.contains(&found), "{message}");
    assert!(refused.is_connection_lost(), "it is retried");
    proxy.redirect(here.address());
    let again = wait_for("the right database", DEADLINE, || async { database.get().await.ok() }).await;
    assert_eq!(again.query_one(UUID, &[]).await.expect("one row").get::<_, String>(0), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_went_back_begins_a_history_and_gives_out_no_number_again() {
    let mut cluster = TestCluster::start(TestCluster::durable_options()).await;
    let options = provisioned(&cluster).await;
    let origin = Arc::new(Origin::default());
    let first = checked(&options, &origin);
    let before = text(&first, HISTORY).await;
    drop(first);
    let copy = cluster.copy_data().await;

    let database = checked(&options, &origin);
    assert_eq!(text(&database, HISTORY).await, before, "a restart loses nothing");
    let draw = r#"SELECT max(nextval('"dms"."ChangeVersionSequence"'))::text FROM generate_series(1, 500)"#;
    let lost: i64 = text(&database, draw).await.parse().expect("a number");
    let lost_id: i64 = text(&database, &draw.replace("ChangeVersion", "DocumentId")).await.parse().expect("a number");
    origin.observe(&database.get().await.expect("a connection")).await.expect("observed");
    cluster.crash_and_restart().await;
    let session = wait_for("a connection", DEADLINE, || async { database.get().await.ok() }).await;
    drop(session);
    assert_eq!(text(&database, HISTORY).await, before, "a crash that lost nothing");

    cluster.put_back(&copy).await;
    let session = wait_for("a session after the rollback", DEADLINE, || async {
        let session = database.get().await.ok()?;
        session.query_one("SELECT 1", &[]).await.ok().map(|_| session)
    })
    .await;
    drop(session);
    let after = text(&database, HISTORY).await;
    assert!(after.parse::<i64>().expect("a number") > before.parse().expect("a number"), "{before} → {after}");
    let next: i64 = text(&database, draw).await.parse().expect("a number");
    let next_id: i64 = text(&database, &draw.replace("ChangeVersion", "DocumentId")).await.parse().expect("a number");
    assert!(
        next - 500 > lost && next_id - 500 > lost_id,
        "given out again: {next} after {lost}, {next_id} after {lost_id}"
    );
}

#[tokio::test]
async fn commits_that_a_host_made_asynchronous_are_made_durable_and_stronger_ones_stay() {
    let database = World::fixtures().database().await;
    let setting = async |value: &str| {
        let name = database.options().dbname();
        let alter = format!(r#"ALTER DATABASE "{name}" SET synchronous_commit = {value}"#);
        database.session().await.batch_execute(&alter).await.expect("altered");
        let checked = checked(database.options(), &Arc::new(Origin::default()));
        text(&checked, "SELECT current_setting('synchronous_commit')").await
    };
    for (host, session) in [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply"), ("on", "on")] {
        assert_eq!(setting(host).await, session, "the host sets {host}");
    }
}
