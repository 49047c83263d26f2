//! The scenario: rows before the connectors start, edits while they run, a worker killed in between, and a slot dropped
//! while the worker is down.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use millstream_connectors::source::topic::{KafkaSource, KafkaSourceOptions, RecordForm};
use millstream_outbox::append;
use millstream_outbox::read::before_horizon;
use millstream_pipeline::{Change, ChangeKind, NewChange, Position};
use millstream_store::connect::Session;
use millstream_testkit::{ConnectWorker, KafkaBroker, TestDatabase, World, wait_for, wait_until};
use serde_json::Map;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::consumer::Consumer;
use crate::page::{Configurations, statements};
use crate::record;

/// Documents with changes before the connectors start; these are recorded.
const EARLY: i64 = 4;
/// Transactions written while the connectors run.
const TRANSACTIONS: i64 = 300;
/// Number of their changes after which the worker is killed.
const KILLED_AFTER: usize = 50;
const READY_WITHIN: Duration = Duration::from_secs(180);

/// A connector and the form of its topic.
struct Case {
    name: &'static str,
    topic: &'static str,
    form: RecordForm,
    /// Whether it publishes all operations, not only inserts.
    everything: bool,
}

const CASES: [Case; 6] = [
    Case { name: "envelope", topic: "envelope.dms.Outbox", form: RecordForm::DebeziumEnvelope, everything: false },
    Case { name: "schemas", topic: "schemas.dms.Outbox", form: RecordForm::DebeziumEnvelope, everything: false },
    Case { name: "flattened", topic: "flattened.dms.Outbox", form: RecordForm::DebeziumFlattened, everything: false },
    Case { name: "router", topic: "millstream.changes", form: RecordForm::DebeziumRouter, everything: false },
    Case { name: "headers", topic: "headers.changes", form: RecordForm::DebeziumRouter, everything: false },
    Case { name: "everything", topic: "everything.dms.Outbox", form: RecordForm::DebeziumEnvelope, everything: true },
];

/// The first four follow the page; the others use the variations that the page allows.
fn connectors(database: &TestDatabase) -> Vec<(String, String)> {
    let page = Configurations::read();
    let none = Map::new();
    let placement = page.router["transforms.outbox.table.fields.additional.placement"].as_str().expect("a placement");
    let in_headers = placement.replace(":envelope", ":header");
    let connector = |case: &Case| {
        let (more, changed): (_, Vec<(&str, &str)>) = match case.name {
            "schemas" => (&none, vec![("value.converter.schemas.enable", "true")]),
            "flattened" => (&page.flattened, Vec::new()),
            "router" => (&page.router, Vec::new()),
            "headers" => (
                &page.router,
                vec![
                    ("transforms.outbox.table.fields.additional.placement", in_headers.as_str()),
                    ("transforms.outbox.route.topic.replacement", case.topic),
                ],
            ),
            "everything" => (&none, vec![("publication.name", "everything")]),
            _ => (&none, Vec::new()),
        };
        page.connector(case.name, database.options(), &[more], &changed)
    };
    CASES.iter().map(connector).collect()
}

fn change(document_id: i64, version: i64) -> NewChange {
    NewChange {
        document_id,
        document_uuid: Uuid::from_u128(0xED_F100_0000_4000_8000_0000_0000_0000 + document_id as u128),
        resource_key: if document_id % 3 == 0 { -1 } else { document_id as i16 },
        kind: ChangeKind::ALL[version as usize % 4],
        content_version: 9_007_199_254_740_992 + version,
    }
}

async fn commit(client: &mut Client, changes: &[NewChange]) {
    let transaction = client.transaction().await.expect("begin");
    append(&transaction, changes).await.expect("append");
    transaction.commit().await.expect("commit");
}

/// Writes transactions of 1 to 7 rows in two sessions with overlapping commits.
async fn edit(database: &TestDatabase, versions: std::ops::Range<i64>) {
    let (mut one, mut other) = (database.session().await, database.session().await);
    for version in versions {
        let rows: Vec<_> = (0..=version % 7).map(|document| change(document + 1, version)).collect();
        if version % 5 != 0 {
            commit(one.client_mut(), &rows).await;
            continue;
        }
        let late = other.client_mut().transaction().await.expect("begin");
        append(&late, &[change(100 + version, version)]).await.expect("append");
        commit(one.client_mut(), &rows).await;
        late.commit().await.expect("commit");
    }
}

/// Returns the committed changes in the order of outbox ids.
async fn committed(session: &Session) -> Vec<Change> {
    let rows = before_horizon(&**session, Position::ZERO, i64::MAX).await.expect("the outbox can be read");
    let mut changes = rows.changes;
    changes.sort_by_key(|change| change.outbox_id);
    changes
}

/// Waits until every connector follows its slot.
async fn followed(session: &Session, worker: &mut ConnectWorker) {
    let worker = std::cell::RefCell::new(worker);
    wait_for("the connectors to follow their slots", READY_WITHIN, || async {
        worker.borrow_mut().check();
        let sql = "SELECT count(*) FROM pg_replication_slots WHERE active AND slot_name LIKE 'debezium_%'";
        let active: i64 = session.query_one(sql, &[]).await.expect("an answer").get(0);
        (active == CASES.len() as i64).then_some(())
    })
    .await;
}

/// Drops a connector's slot after the server has detected the lost connection.
async fn drop_slot(session: &Session, connector: &str) {
    let slot = format!("debezium_{connector}");
    wait_until("the slot can be dropped", READY_WITHIN, || async {
        session.execute("SELECT pg_drop_replication_slot($1::text::name)", &[&slot]).await.is_ok()
    })
    .await;
}

fn source(broker: &KafkaBroker, case: &Case, stored: Position) -> Consumer {
    let options = KafkaSourceOptions {
        report_interval: Duration::from_millis(100),
        idle_interval: Duration::from_millis(50),
        ..KafkaSourceOptions::new(broker.bootstrap_servers(), case.topic, format!("g-{}", case.name), case.form)
    };
    Consumer::new(Box::new(KafkaSource::start(options, stored).expect("a source")), stored)
}

/// Reads until every change has arrived. Returns the number of duplicates.
async fn read_all(consumer: &mut Consumer, expected: &[Change]) -> usize {
    let wanted: BTreeSet<i64> = expected.iter().map(|change| change.outbox_id).collect();
    let mut seen: BTreeSet<i64> = consumer.changes.iter().map(|change| change.outbox_id).collect();
    while !wanted.is_subset(&seen) {
        let read = consumer.changes.len();
        consumer.next().await.expect("an event");
        consumer.source.confirm(consumer.position);
        seen.extend(consumer.changes[read..].iter().map(|change| change.outbox_id));
    }
    let mut changes = consumer.changes.clone();
    changes.sort_by_key(|change| change.outbox_id);
    let received = changes.len();
    changes.dedup();
    assert_eq!(changes, expected, "exactly what was committed");
    received - changes.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debezium_brings_exactly_what_was_committed() {
    let started = Instant::now();
    let broker = KafkaBroker::start(millstream_testkit::BrokerOptions::default()).await;
    let database = World::fixtures().database().await;
    let mut session = database.session().await;
    session.batch_execute(&statements()).await.expect("the page's statements");
    let everything =
        r#"CREATE PUBLICATION everything FOR TABLE "dms"."Outbox" WITH (publish_via_partition_root = true)"#;
    session.batch_execute(everything).await.expect("a publication");

    for version in 1..=EARLY {
        commit(session.client_mut(), &[change(version, version)]).await;
    }
    let mut worker = ConnectWorker::start(&broker.bootstrap_servers(), &connectors(&database));
    followed(&session, &mut worker).await;
    println!("{} connectors follow after {:.0?}", CASES.len(), started.elapsed());
    commit(session.client_mut(), &[change(1, 11), change(2, 12), change(3, 13), change(9, 14)]).await;
    let early = committed(&session).await;
    session.execute(r#"DELETE FROM "dms"."Outbox" WHERE "DocumentId" = 9"#, &[]).await.expect("pruned");
    let mut consumers = Vec::new();
    for case in &CASES {
        let mut consumer = source(&broker, case, Position::ZERO);
        read_all(&mut consumer, &early).await;
        if case.everything {
            // The deleted row and its tombstone.
            let end = Position::before(early.len() as u64 + 2);
            consumer.confirm_until(|position| position >= end).await;
            assert_eq!(consumer.changes.len(), early.len(), "a pruned row is not a change");
        }
        consumers.push(consumer);
    }
    if let Some(directory) = record::directory() {
        for case in &CASES {
            record::topic(&directory, case.name, &broker.bootstrap_servers(), case.topic);
        }
        record::changes(&directory, &early);
        println!("recorded to {}", directory.display());
    }

    let edits = edit(&database, 100..100 + TRANSACTIONS);
    let kill = async {
        let enough = early.len() + KILLED_AFTER;
        while consumers[0].changes.len() < enough {
            consumers[0].next().await.expect("an event");
        }
        worker.kill();
    };
    tokio::join!(edits, kill);
    drop_slot(&session, CASES[0].name).await;
    worker.restart();
    followed(&session, &mut worker).await;
    commit(session.client_mut(), &[change(1, 1_000)]).await;
    let pruned = early.iter().filter(|change| change.document_id == 9).copied();
    let mut expected: Vec<Change> = committed(&session).await.into_iter().chain(pruned).collect();
    expected.sort_by_key(|change| change.outbox_id);
    let mut account = Vec::new();
    for (case, mut consumer) in CASES.iter().zip(consumers) {
        let again = read_all(&mut consumer, &expected).await;
        account.push(format!("{} {again}", case.name));
        consumer.source.shutdown().await.expect("shut down");
    }
    println!(
        "interop: {} changes committed, each read through {} connectors; came again after the worker was killed (and the first one's slot \
         dropped): {}; \
         {:.0?} in all",
        expected.len(),
        CASES.len(),
        account.join(", "),
        started.elapsed()
    );
}
