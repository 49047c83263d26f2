//! `verify --repair` without a running process: repairs are enqueued in the durable queue, on disk or in Kafka, and the
//! next start carries them out. Also unreadable records in a shared queue.

use crate::installation::{CATCH_UP, Installation};
use crate::support::process::{Process, Setup, run};
use crate::support::{loaded, loading};
use millstream_testkit::{World, wait_until};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::time::Duration;

const STUDENT: &str = r#"{"studentUniqueId": "idle-1", "firstName": "Ada", "lastSurname": "Abara",
                          "birthData": {"birthDate": "2014-01-01"}}"#;

/// Without a running process, an unknown sink is an error, and a data folder without lanes yields 'not compared'.
async fn check_not_compared(installation: &Installation) {
    let text = installation.command(2, &["verify", "--sink=kafak", "--wait-s=1"]).await;
    assert!(text.contains("`kafak`"), "{text}");
    let elsewhere = Setup { data_dir: installation.folder.path().join("elsewhere"), ..installation.setup.clone() };
    let (code, text) = run(&elsewhere, &["verify", "--wait-s=1"]).await;
    assert_eq!(code, Some(3), "{text}");
    for sink in ["kafka", "opensearch", "embedded"] {
        assert!(text.contains(&format!("{sink}: not compared: nothing is delivered to it")), "{text}");
    }
}

/// Damages a document in the cache and in a sink while Millstream is stopped, and runs `verify --repair` for both.
async fn damage_and_repair(installation: &Installation, repairer: &str) {
    let client = installation.database.database().get().await.expect("a connection");
    let row = client
        .query_one(r#"SELECT "DocumentUuid"::text, "ContentVersion" FROM "dms"."DocumentCache" LIMIT 1"#, &[])
        .await
        .expect("a cached document");
    let (lost, version): (String, i64) = (row.get(0), row.get(1));
    installation.lose(&lost, version).await;
    let text = installation.command(1, &["verify", "--repair", "--wait-s=1"]).await;
    assert!(text.contains("opensearch-g1 missing: 1") && text.contains(&lost), "{text}");
    assert!(text.contains(&format!("1 documents are delivered again: {repairer}")), "{text}");
    assert!(text.contains("kafka: ") && !text.contains("bodies are to be made"), "only one sink differs: {text}");

    let damage =
        r#"UPDATE "dms"."DocumentCache" SET "Body" = '{"damaged": true}' WHERE "DocumentUuid" = $1::text::uuid"#;
    assert_eq!(client.execute(damage, &[&lost]).await.expect("the body is damaged"), 1);
    let text = installation.command(1, &["verify", "--repair", "--sink=none", "--wait-s=1"]).await;
    assert!(text.contains(&format!("bodies are to be made and delivered again: {repairer}")), "{text}");
}

/// RECOVERABLE: a cached body and a document of a sink are damaged and repaired without a running process. An old
/// tombstone that every sink has processed is pruned.
#[tokio::test(flavor = "multi_thread")]
async fn damage_while_nothing_runs_is_repaired_by_the_next_start() {
    let world = World::fixtures();
    let (mut installation, up) = Installation::new(world, &[]).await;
    loading::load(&up.http, &world.mapping, &loaded::documents(world)).await;
    let gone = up.http.post("meadow/students", STUDENT).await.id.expect("an id");
    let deleted = up.http.try_delete(&format!("meadow/students/{gone}")).await.expect("a response");
    assert!(deleted.is_success(), "{deleted:?}");
    installation.wait_delivered().await;
    up.stop().await;
    check_not_compared(&installation).await;
    damage_and_repair(&installation, "start `millstream up`").await;
    let client = installation.database.database().get().await.expect("a connection");
    let age = r#"UPDATE "dms"."Tombstone" SET "DeletedAt" = now() - interval '31 days'"#;
    assert_eq!(client.execute(age, &[]).await.expect("the tombstone is old"), 1);
    let up = Process::start(&installation.setup).await;
    installation.wait_delivered().await;
    installation.verify().await;
    wait_until("the old tombstone to be pruned", CATCH_UP, || async {
        let left = client.query_one(r#"SELECT count(*) FROM "dms"."Tombstone""#, &[]).await.expect("a count");
        left.get::<_, i64>(0) == 0
    })
    .await;
    installation.verify().await;
    removes_a_document_without_tombstone(&installation, &up).await;
    up.stop().await;

    // The same with the queue in Kafka. It is empty at first, so cache and sinks are compared and filled.
    installation.setup.flags.push("--queue-kind=kafka".to_owned());
    let up = Process::start(&installation.setup).await;
    installation.wait_lanes(3).await;
    installation.wait_delivered().await;
    lists_an_unreadable_record(&installation, &up).await;
    up.stop().await;
    damage_and_repair(&installation, "the processes that share the queue").await;
    let up = Process::start(&installation.setup).await;
    installation.wait_delivered().await;
    installation.verify().await;
    up.stop().await;
}

/// Removes from two sinks a document that was deleted while they were detached and whose tombstone is pruned.
async fn removes_a_document_without_tombstone(installation: &Installation, up: &Process) {
    let extra = up.http.post("meadow/students", STUDENT).await.id.expect("an id");
    installation.wait_delivered().await;
    installation.command(0, &["sink", "remove", "kafka"]).await;
    installation.command(0, &["sink", "remove", "opensearch"]).await;
    let deleted = up.http.try_delete(&format!("meadow/students/{extra}")).await.expect("a response");
    assert!(deleted.is_success(), "{deleted:?}");
    installation.wait_delivered().await;
    let client = installation.database.database().get().await.expect("a connection");
    client.batch_execute(r#"DELETE FROM "dms"."Tombstone""#).await.expect("tombstones are deleted");
    installation.command(0, &["sink", "add", "kafka"]).await;
    installation.command(0, &["sink", "add", "opensearch"]).await;
    installation.wait_delivered().await;
    let text = installation.command(1, &["verify", "--repair"]).await;
    assert!(text.contains("kafka extra: 1") && text.contains("opensearch-g1 extra: 1"), "{text}");
    installation.wait_delivered().await;
    installation.verify().await;
}

/// A foreign record in the work topic is listed, counted, shown and skipped, and blocks nothing else.
async fn lists_an_unreadable_record(installation: &Installation, up: &Process) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", installation.kafka.bootstrap_servers())
        .create()
        .expect("a producer");
    let foreign = BaseRecord::to("millstream.work").key("1").payload("{\"foreign\":true}").partition(0);
    producer.send(foreign).map_err(|(error, _)| error).expect("queued");
    producer.flush(Duration::from_secs(30)).expect("the record is written");
    wait_until("the record to be counted", CATCH_UP, || async {
        installation.status().await["projector"]["queue"]["unreadable"] == 1
    })
    .await;
    assert!(up.http.metrics().await.lines().any(|line| line == "millstream_queue_unreadable 1"));
    assert!(installation.command(0, &["status"]).await.contains("1 UNREADABLE records are kept"));
    let listed = installation.command(0, &["quarantine", "list"]).await;
    let record = listed.split_whitespace().find(|word| word.starts_with("millstream.work/0/"));
    let record = record.unwrap_or_else(|| panic!("the record is not listed: {listed}")).to_owned();
    assert!(listed.contains("UNREADABLE, 16 bytes") && listed.contains("its format is 123"), "{listed}");
    assert!(listed.ends_with("unreadable: 1\nin quarantine: 0\n"), "{listed}");
    let shown = installation.command(0, &["quarantine", "show", &record]).await;
    assert!(shown.contains(r#"{\"foreign\":true}"#), "{shown}");
    let retried = installation.command(2, &["quarantine", "retry", &record]).await;
    assert!(retried.contains("cannot be tried again"), "{retried}");
    assert_eq!(installation.command(0, &["quarantine", "skip", &record]).await, "skipped: 1\n");
    installation.command(2, &["quarantine", "skip", &record]).await;
    assert_eq!(installation.command(0, &["quarantine", "list"]).await, "in quarantine: 0\n");
}
