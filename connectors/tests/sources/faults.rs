//! Broken connections, terminated sessions and server crashes: no change is lost or returned twice.

use std::net::SocketAddr;
use std::time::Duration;

use millstream_connectors::source::slot::{LogicalOptions, LogicalSource};
use millstream_pipeline::Position;
use millstream_testkit::{FaultProxy, TestCluster, TestDatabase, wait_until};

use crate::support::{Bed, Consumer, Kind, PATIENCE, SourceBed, commit, logical_options};

const DOCUMENTS: i64 = 3_000;

/// Writes changes in transactions of 1 to 20 rows.
async fn write_all(bed: &mut Bed) {
    let mut next = 1;
    while next <= DOCUMENTS {
        let last = (next + next % 20).min(DOCUMENTS);
        bed.commit(next..=last).await;
        next = last + 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_goes_unnoticed() {
    let mut bed = Bed::new(Kind::Logical).await;
    let address = SocketAddr::new("127.0.0.1".parse().expect("an address"), bed.database.options().port());
    let proxy = FaultProxy::start(address).await;
    let options = LogicalOptions {
        host: "127.0.0.1".to_owned(),
        port: proxy.address().port(),
        batch_max: 7,
        ..bed.logical_options()
    };
    write_all(&mut bed).await;
    let source = LogicalSource::start(options, bed.origin, None).expect("a source");
    let mut consumer = Consumer::new(Box::new(source), bed.origin);
    let mut cuts = 0;
    while consumer.changes.len() < DOCUMENTS as usize {
        consumer.next().await.expect("an event");
        consumer.source.confirm(consumer.position);
        if consumer.changes.len() > 600 * (cuts + 1) {
            proxy.cut();
            cuts += 1;
        }
    }
    assert!(consumer.documents().into_iter().eq(1..=DOCUMENTS), "each once and in order");
    assert!(cuts >= 4);
    proxy.refuse();
    wait_until("it notices", PATIENCE, || async { !consumer.source.status().connected }).await;
    commit(bed.writer.client_mut(), [DOCUMENTS + 1]).await;
    proxy.restore();
    consumer.read(DOCUMENTS as usize + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_given_up() {
    let mut bed = Bed::new(Kind::Logical).await;
    let address = SocketAddr::new("127.0.0.1".parse().expect("an address"), bed.database.options().port());
    let proxy = FaultProxy::start(address).await;
    let options = LogicalOptions {
        host: "127.0.0.1".to_owned(),
        port: proxy.address().port(),
        silence_max: Duration::from_millis(500),
        heartbeat_interval: Some(Duration::from_millis(50)),
        ..bed.logical_options()
    };
    let source = LogicalSource::start(options, bed.origin, None).expect("a source");
    let mut consumer = Consumer::new(Box::new(source), bed.origin);
    bed.commit([1]).await;
    consumer.read(1).await;
    proxy.pause();
    wait_until("it gives up", PATIENCE, || async { consumer.source.status().reconnects > 0 }).await;
    proxy.cut();
    proxy.restore();
    bed.commit([2]).await;
    consumer.read(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_walsenders_are_replaced() {
    let mut bed = Bed::new(Kind::Logical).await;
    bed.batch_max = 11;
    let slot = bed.logical_options().slot;
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    let observer = bed.database.session().await;
    let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active";
    for round in 0..4 {
        bed.commit(round * 500 + 1..=round * 500 + 500).await;
        while consumer.changes.len() < round as usize * 500 + 250 {
            consumer.next().await.expect("an event");
        }
        consumer.source.confirm(consumer.position);
        observer.execute(end, &[&slot]).await.expect("ended");
    }
    consumer.read(2_000).await;
    assert!(consumer.documents().into_iter().eq(1..=2_000));
    assert!(consumer.source.status().reconnects >= 1);
}

/// A server crash sets the slot back, because its position is written at checkpoints only.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_changes_of_a_crashed_server_are_skipped() {
    let mut cluster = TestCluster::start(TestCluster::durable_options()).await;
    let database = TestDatabase::create_in(&cluster).await;
    {
        let session = database.session().await;
        session.batch_execute(millstream_store::provision::DMS_DDL).await.expect("the shared tables");
    }
    let mut bed = Bed::on(Kind::Logical, database).await;
    let options = bed.logical_options();
    let mut consumer = Consumer::new(bed.start(bed.origin), bed.origin);
    bed.commit(1..=100).await;
    bed.commit(101..=200).await;
    consumer.read(200).await;
    consumer.source.confirm(consumer.position);
    let confirmed = consumer.position;
    wait_until("the server has the confirmation", PATIENCE, || async {
        consumer.source.status().confirmed == confirmed
    })
    .await;
    cluster.crash_and_restart().await;
    bed.writer = millstream_store::connect::Session::open(bed.database.options()).await.expect("it is back");
    bed.commit([201]).await;
    consumer.read(201).await;
    assert!(consumer.documents().into_iter().eq(1..=201), "stored changes do not come again");
    let stored = consumer.position;
    drop(consumer);
    let source = LogicalSource::start(logical_options(bed.database.options(), &options.slot), stored, None);
    let mut again = Consumer::new(Box::new(source.expect("a source")), stored);
    bed.commit([202]).await;
    again.read(1).await;
    assert_eq!(again.documents(), [202]);
    assert!(again.position > Position::before(stored.lsn));
}
