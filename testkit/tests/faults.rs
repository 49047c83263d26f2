//! Gates, holders and the fault proxy.

use std::time::Duration;

use millstream_store::{connect::Session, error::StoreError};
use millstream_testkit::{FaultProxy, Gate, Holder, TestCluster, TestDatabase, gate::GateAt, wait_until};

const DEADLINE: Duration = Duration::from_secs(20);

async fn database_with_table() -> TestDatabase {
    TestDatabase::from_template("faults", |database| async move {
        let client = database.get().await?;
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0)").await?;
        Ok::<_, StoreError>(())
    })
    .await
}

#[tokio::test]
async fn a_closed_gate_stops_a_writer_and_an_open_one_does_not() {
    let database = database_with_table().await;
    for at in [GateAt::BeforeInsert, GateAt::AfterInsert] {
        let gate = Gate::on_table(&database, "t", at).await;
        let writer = database.session().await;
        writer.execute("DELETE FROM t WHERE id > 1", &[]).await.expect("writes");
        writer.execute("INSERT INTO t VALUES (2, 0)", &[]).await.expect("an open gate lets through");
        gate.close().await;
        let insert = tokio::spawn(async move { writer.execute("INSERT INTO t VALUES (3, 0)", &[]).await });
        gate.wait_for(1).await;
        assert!(!insert.is_finished());
        gate.open().await;
        insert.await.expect("no panic").expect("writes");
        assert_eq!(gate.waiting().await, 0);
    }
}

#[tokio::test]
async fn a_holder_blocks_other_sessions() {
    let database = database_with_table().await;
    let holder = Holder::hold(&database, "UPDATE t SET v = 1 WHERE id = 1").await;
    let writer = database.session().await;
    let update = tokio::spawn(async move { writer.execute("UPDATE t SET v = v + 10 WHERE id = 1", &[]).await });
    holder.wait_for_blocked(1).await;
    holder.commit().await;
    update.await.expect("no panic").expect("writes");
    let row = database.session().await.query_one("SELECT v FROM t WHERE id = 1", &[]).await.expect("reads");
    assert_eq!(row.get::<_, i32>(0), 11);
}

#[tokio::test]
async fn the_proxy_injects_network_faults() {
    let cluster = TestCluster::shared().await;
    let direct = cluster.connect_options("postgres");
    let proxy = FaultProxy::start(([127, 0, 0, 1], direct.port()).into()).await;
    let through = direct.with_address("127.0.0.1", proxy.address().port());

    let session = Session::open(&through).await.expect("connects through the proxy");
    session.query_one("SELECT 1", &[]).await.expect("answers");

    proxy.pause();
    assert!(tokio::time::timeout(Duration::from_millis(50), session.query_one("SELECT 1", &[])).await.is_err());
    proxy.restore();
    session.query_one("SELECT 1", &[]).await.expect("answers again");

    proxy.slow_down(Duration::from_millis(30));
    let asked = std::time::Instant::now();
    session.query_one("SELECT 1", &[]).await.expect("answers slowly");
    assert!(asked.elapsed() >= Duration::from_millis(60));
    proxy.restore();

    proxy.cut();
    wait_until("the session is lost", DEADLINE, || std::future::ready(session.is_closed())).await;
    let error = StoreError::from(session.query_one("SELECT 1", &[]).await.expect_err("no connection"));
    assert!(error.is_connection_lost(), "{error}");
    Session::open(&through).await.expect("new connections work after a cut");

    proxy.refuse();
    let error = Session::open(&through).await.expect_err("refused");
    assert!(error.is_connection_lost(), "{error}");
    proxy.restore();
    Session::open(&through).await.expect("connects again");
}
