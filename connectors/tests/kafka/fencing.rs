//! Fencing: opening the topic ends the previous writer.

use std::time::Duration;

use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_pipeline::binding::Binding;
use millstream_pipeline::sink::{Outcome, RetryCause, Sink, SinkError};
use millstream_testkit::KafkaBroker;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use uuid::Uuid;

use crate::support::{assert_all_done, key, new_topic_name, open, options, rows, state, upsert};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Suffixes of the transactional ids of a writer's two producers.
const PRODUCERS: [&str; 2] = ["", "/2"];

/// A plain producer that fences one of the sink's two producers.
fn plain_producer(servers: &str, topic: &str, suffix: &str) -> ThreadedProducer<DefaultProducerContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("transactional.id", format!("millstream.{topic}{suffix}"));
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
    producer.init_transactions(ANSWER_WITHIN).expect("it opens");
    producer
}

/// Reads the writer fence from the broker.
fn fence(servers: &str, topic: &str) -> String {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", format!("millstream.{topic}"));
    let reader: BaseConsumer = config.create().expect("a reader");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition(topic, 0);
    let committed = reader.committed_offsets(partitions, ANSWER_WITHIN).expect("a response");
    committed.elements()[0].metadata().to_owned()
}

fn versions(servers: &str, topic: &str) -> Vec<String> {
    rows(servers, topic).into_iter().map(|row| row.headers["contentVersion"].clone()).collect()
}

#[tokio::test]
async fn a_writer_that_was_taken_over_from_can_do_no_harm() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic_name();
    let first = open(options(&servers, &topic)).await;
    assert_all_done(&first.put(&[upsert(1, 5, "first")]).await);
    let second = open(options(&servers, &topic)).await;
    assert_all_done(&second.put(&[upsert(1, 9, "second")]).await);

    let late = first.put(&[upsert(1, 7, "late"), upsert(2, 8, "late")]).await;
    let unavailable = |outcome: &Outcome| matches!(outcome, Outcome::Retry { cause: RetryCause::Unavailable, .. });
    assert!(late.iter().all(unavailable), "{late:?}");
    let Err(SinkError::Incompatible { differences, .. }) = first.prepare().await else {
        panic!("it took the topic back")
    };
    assert!(differences[0].contains("another process writes to"), "{differences:?}");
    assert!(first.put(&[upsert(1, 7, "late")]).await.iter().all(unavailable));

    assert_all_done(&second.put(&[upsert(1, 10, "still there")]).await);
    assert_eq!(versions(&servers, &topic), ["5", "9", "10"]);
}

#[tokio::test]
async fn what_a_dead_writer_left_unfinished_never_shows() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    for suffix in PRODUCERS {
        let topic = new_topic_name();
        assert_all_done(&open(options(&servers, &topic)).await.put(&[upsert(1, 5, "before")]).await);
        let dead = plain_producer(&servers, &topic, suffix);
        dead.begin_transaction().expect("begun");
        let id = key(1).uuid.to_string();
        dead.send(BaseRecord::<str, str>::to(&topic).key(&id).payload("half a batch"))
            .map_err(|(error, _)| error)
            .expect("queued");
        dead.flush(ANSWER_WITHIN).expect("it is in the log");

        let next: KafkaSink = open(options(&servers, &topic)).await;
        assert!(dead.commit_transaction(ANSWER_WITHIN).is_err(), "it was fenced");
        assert_all_done(&next.put(&[upsert(1, 6, "after")]).await);
        assert_eq!(versions(&servers, &topic), ["5", "6"]);
        assert_eq!(state(&next).await.get(&key(1).uuid).map(|(version, _)| *version), Some(6));
    }
}

#[tokio::test]
async fn a_writer_that_lost_a_producer_but_not_the_topic_goes_on() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic_name();
    let sink = open(options(&servers, &topic)).await;
    let mut written = Vec::new();
    for suffix in PRODUCERS {
        // The coordinator does the same to a producer whose transaction took too long.
        drop(plain_producer(&servers, &topic, suffix));
        // It may be the other producer's turn first.
        let refused = loop {
            let version = 5 + written.len() as i64;
            let outcomes = sink.put(&[upsert(1, version, "perhaps refused")]).await;
            if outcomes != [Outcome::Done] {
                break outcomes;
            }
            written.push(version.to_string());
            assert!(written.len() < 2 * PRODUCERS.len(), "the sink did not notice");
        };
        assert!(matches!(refused[..], [Outcome::Retry { cause: RetryCause::Unavailable, .. }]), "{refused:?}");
        sink.prepare().await.unwrap_or_else(|error| panic!("{error}"));
        let version = 5 + written.len() as i64;
        assert_all_done(&sink.put(&[upsert(1, version, "after")]).await);
        written.push(version.to_string());
    }
    assert_eq!(versions(&servers, &topic), written);
}

#[tokio::test]
async fn a_fence_that_the_broker_dropped_is_renewed_by_writes_and_while_idle() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic_name();
    let sink = open(KafkaOptions { fence_interval: Duration::ZERO, ..options(&servers, &topic) }).await;
    let written = fence(&servers, &topic);
    assert!(!written.is_empty());
    drop_fence(&servers, &topic).await;
    for version in 1..=PRODUCERS.len() as i64 {
        assert_all_done(&sink.put(&[upsert(1, version, "written")]).await);
    }
    assert_eq!(fence(&servers, &topic), written);
    drop_fence(&servers, &topic).await;
    sink.tend().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(fence(&servers, &topic), written);
    assert_all_done(&sink.put(&[upsert(1, 3, "written")]).await);
}

/// Deletes the fence on the broker, which drops it by itself after a week.
async fn drop_fence(servers: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", servers).create().expect("a client");
    let deleted = admin.delete_groups(&[&format!("millstream.{topic}")], &AdminOptions::new()).await;
    assert!(matches!(deleted.as_deref(), Ok([Ok(_)])), "{deleted:?}");
    assert_eq!(fence(servers, topic), "");
}

#[tokio::test]
async fn the_topic_of_another_database_is_refused_and_its_writer_left_alone() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic_name();
    let of = |database| KafkaOptions {
        binding: Some(Binding::postgresql(Uuid::from_u128(database))),
        ..options(&servers, &topic)
    };
    // The state of an earlier version, which did not record the database.
    assert_all_done(&open(options(&servers, &topic)).await.put(&[upsert(1, 5, "before")]).await);
    let first = open(of(1)).await;
    let written = fence(&servers, &topic);
    assert!(written.ends_with(&format!(" {}", Binding::postgresql(Uuid::from_u128(1)))), "{written}");

    let stranger = KafkaSink::new(of(2)).expect("the options are right");
    let Err(SinkError::Incompatible { differences, .. }) = stranger.prepare().await else {
        panic!("it took the topic")
    };
    assert!(differences[0].contains("another database") && differences[0].contains("kafka.topic"), "{differences:?}");
    let reads = [stranger.scan().await.map(drop), stranger.fetch(&[key(1)]).await.map(drop)];
    assert!(reads.iter().all(|read| matches!(read, Err(SinkError::Incompatible { .. }))), "{reads:?}");
    let refused = stranger.put(&[upsert(2, 6, "a stranger")]).await;
    assert!(matches!(refused[..], [Outcome::Retry { cause: RetryCause::Unavailable, .. }]), "{refused:?}");

    assert_all_done(&first.put(&[upsert(1, 7, "undisturbed")]).await);
    assert_all_done(&open(of(1)).await.put(&[upsert(1, 8, "the next process")]).await);
    assert_eq!(versions(&servers, &topic), ["5", "7", "8"]);
    assert_eq!(state(&first).await.len(), 1);
}
