//! `verify --repair` while nothing runs: what is wrong is owed to the durable queue, on disk or in Kafka, and the next start
//! puts it right. And what stands in a shared queue that nobody can read.

use crate::place::{CATCH_UP, Place};
use crate::support::child::{Setup, Up, run};
use crate::support::{loaded, loading};
use millstream_testkit::{World, wait_until};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::time::Duration;

const STUDENT: &str = r#"{"studentUniqueId": "idle-1", "firstName": "Ada", "lastSurname": "Abara",
                          "birthData": {"birthDate": "2014-01-01"}}"#;

/// With nothing running, a name of no sink is a mistake, and a folder that delivers to nobody proves nothing.
async fn not_compared(place: &Place) {
    let text = place.command(2, &["verify", "--sink=kafak", "--wait-s=1"]).await;
    assert!(text.contains("`kafak`"), "{text}");
    let elsewhere = Setup { data_dir: place.folder.path().join("elsewhere"), ..place.setup.clone() };
    let (code, text) = run(&elsewhere, &["verify", "--wait-s=1"]).await;
    assert_eq!(code, Some(3), "{text}");
    for sink in ["kafka", "opensearch", "embedded"] {
        assert!(text.contains(&format!("{sink}: not compared: nothing is delivered to it")), "{text}");
    }
}

/// Damages a document in the cache and in a sink behind a stopped Millstream, and has both repaired.
async fn damage_and_repair(place: &Place, who: &str) {
    let client = place.database.database().get().await.expect("a connection");
    let row = client
        .query_one(r#"SELECT "DocumentUuid"::text, "ContentVersion" FROM "dms"."DocumentCache" LIMIT 1"#, &[])
        .await
        .expect("a cached document");
    let (lost, version): (String, i64) = (row.get(0), row.get(1));
    place.lose(&lost, version).await;
    let text = place.command(1, &["verify", "--repair", "--wait-s=1"]).await;
    assert!(text.contains("opensearch-g1 missing: 1") && text.contains(&lost), "{text}");
    assert!(text.contains(&format!("1 documents are delivered again: {who}")), "{text}");
    assert!(text.contains("kafka: ") && !text.contains("bodies are to be made"), "nothing else is wrong: {text}");

    let damage =
        r#"UPDATE "dms"."DocumentCache" SET "Body" = '{"damaged": true}' WHERE "DocumentUuid" = $1::text::uuid"#;
    assert_eq!(client.execute(damage, &[&lost]).await.expect("it is damaged"), 1);
    let text = place.command(1, &["verify", "--repair", "--sink=none", "--wait-s=1"]).await;
    assert!(text.contains(&format!("bodies are to be made and delivered again: {who}")), "{text}");
}

/// RECOVERABLE: a cached body and a document of a sink, damaged and repaired without a process. And a delete that is so
/// old that every sink is past it is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_while_nothing_runs_is_repaired_by_the_next_start() {
    let world = World::fixtures();
    let (mut place, up) = Place::new(world, &[]).await;
    loading::load(&up.http, &world.mapping, &loaded::documents(world)).await;
    let gone = up.http.post("meadow/students", STUDENT).await.id.expect("an id");
    let deleted = up.http.try_delete(&format!("meadow/students/{gone}")).await.expect("an answer");
    assert!(deleted.is_success(), "{deleted:?}");
    place.wait_delivered().await;
    up.stop().await;
    not_compared(&place).await;
    damage_and_repair(&place, "start `millstream up`").await;
    let client = place.database.database().get().await.expect("a connection");
    let age = r#"UPDATE "dms"."Tombstone" SET "DeletedAt" = now() - interval '31 days'"#;
    assert_eq!(client.execute(age, &[]).await.expect("it is old"), 1);
    let up = Up::start(&place.setup).await;
    place.wait_delivered().await;
    place.verify().await;
    wait_until("the old tombstone to go", CATCH_UP, || async {
        let left = client.query_one(r#"SELECT count(*) FROM "dms"."Tombstone""#, &[]).await.expect("a count");
        left.get::<_, i64>(0) == 0
    })
    .await;
    place.verify().await;
    removes_what_nobody_remembers(&place, &up).await;
    up.stop().await;

    // The same with the queue in Kafka, which is empty at first: cache and sinks are compared and filled.
    place.setup.flags.push("--queue-kind=kafka".to_owned());
    let up = Up::start(&place.setup).await;
    place.wait_lanes(3).await;
    place.wait_delivered().await;
    lists_what_nobody_can_read(&place, &up).await;
    up.stop().await;
    damage_and_repair(&place, "the processes that share the queue").await;
    let up = Up::start(&place.setup).await;
    place.wait_delivered().await;
    place.verify().await;
    up.stop().await;
}

/// A document that was deleted while two sinks were not delivered to, so long ago that its tombstone is gone.
async fn removes_what_nobody_remembers(place: &Place, up: &Up) {
    let extra = up.http.post("meadow/students", STUDENT).await.id.expect("an id");
    place.wait_delivered().await;
    place.command(0, &["sink", "remove", "kafka"]).await;
    place.command(0, &["sink", "remove", "opensearch"]).await;
    let deleted = up.http.try_delete(&format!("meadow/students/{extra}")).await.expect("an answer");
    assert!(deleted.is_success(), "{deleted:?}");
    place.wait_delivered().await;
    let client = place.database.database().get().await.expect("a connection");
    client.batch_execute(r#"DELETE FROM "dms"."Tombstone""#).await.expect("it is forgotten");
    place.command(0, &["sink", "add", "kafka"]).await;
    place.command(0, &["sink", "add", "opensearch"]).await;
    place.wait_delivered().await;
    let text = place.command(1, &["verify", "--repair"]).await;
    assert!(text.contains("kafka extra: 1") && text.contains("opensearch-g1 extra: 1"), "{text}");
    place.wait_delivered().await;
    place.verify().await;
}

/// A record of somebody else in the work topic is listed, counted, shown, and let go of; nothing else waits for it.
async fn lists_what_nobody_can_read(place: &Place, up: &Up) {
    let stranger: ThreadedProducer<DefaultProducerContext> =
        ClientConfig::new().set("bootstrap.servers", place.kafka.bootstrap_servers()).create().expect("a producer");
    let foreign = BaseRecord::to("millstream.work").key("1").payload("{\"foreign\":true}").partition(0);
    stranger.send(foreign).map_err(|(error, _)| error).expect("queued");
    stranger.flush(Duration::from_secs(30)).expect("it is in the log");
    wait_until("it to be counted", CATCH_UP, || async {
        place.status().await["projector"]["queue"]["unreadable"] == 1
    })
    .await;
    assert!(up.http.metrics().await.lines().any(|line| line == "millstream_queue_unreadable 1"));
    assert!(place.command(0, &["status"]).await.contains("1 UNREADABLE records are kept"));
    let listed = place.command(0, &["quarantine", "list"]).await;
    let record = listed.split_whitespace().find(|word| word.starts_with("millstream.work/0/"));
    let record = record.unwrap_or_else(|| panic!("it is not listed: {listed}")).to_owned();
    assert!(listed.contains("UNREADABLE, 16 bytes") && listed.contains("its format is 123"), "{listed}");
    assert!(listed.ends_with("unreadable: 1\nin quarantine: 0\n"), "{listed}");
    let shown = place.command(0, &["quarantine", "show", &record]).await;
    assert!(shown.contains(r#"{\"foreign\":true}"#), "{shown}");
    let retried = place.command(2, &["quarantine", "retry", &record]).await;
    assert!(retried.contains("cannot be tried again"), "{retried}");
    assert_eq!(place.command(0, &["quarantine", "skip", &record]).await, "skipped: 1\n");
    place.command(2, &["quarantine", "skip", &record]).await;
    assert_eq!(place.command(0, &["quarantine", "list"]).await, "in quarantine: 0\n");
}
