//! Topics of change records: several partitions, and faults of the topic, the brokers and the group's offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_connectors::source::topic::{
    ChangeTopicError, ChangeTopicOptions, ChangeTopicWriter, KafkaSource, KafkaSourceOptions, RecordForm, TopicEnd,
    start_at_end,
};
use millstream_pipeline::source::{SourceError, SourceStatus};
use millstream_pipeline::{Change, ChangeKind, Position};
use millstream_testkit::{BrokerOptions, KafkaBroker, wait_for, wait_until};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::fixtures::{ENVELOPE, Recorded, write};
use crate::source_bed::{new_topic, producer, source_options};
use crate::source_suite::{Consumer, PATIENCE};
use crate::support::make_topic;

const LOG: [(&str, &str); 1] = [("cleanup.policy", "delete")];

/// The changes of some documents at a version.
fn changes(documents: i64, version: i64) -> Vec<Change> {
    let change = |document_id: i64| Change {
        outbox_id: version * 1_000 + document_id,
        xid: version.cast_unsigned(),
        document_id,
        document_uuid: Uuid::from_u128(0xC0DE_0000_0000_4000_8000_0000_0000_0000 + document_id as u128),
        resource_key: 3,
        kind: ChangeKind::Upsert,
        content_version: version,
    };
    (1..=documents).map(change).collect()
}

/// A topic in Millstream's own form with a writer, on the shared broker.
struct Topic {
    servers: String,
    name: String,
    writer: ChangeTopicWriter,
}

impl Topic {
    async fn new(partitions: u32) -> Self {
        Self::on(&KafkaBroker::shared().await.bootstrap_servers(), partitions).await
    }

    async fn on(servers: &str, partitions: u32) -> Self {
        let (servers, name) = (servers.to_owned(), new_topic());
        let options = ChangeTopicOptions {
            partitions,
            answer_timeout: Duration::from_secs(5),
            ..ChangeTopicOptions::new(servers.as_str(), name.as_str())
        };
        // A new broker creates its internal topics first.
        let writer =
            wait_for("a writer", PATIENCE, || async { ChangeTopicWriter::open(options.clone()).await.ok() }).await;
        Self { servers, name, writer }
    }

    fn options(&self) -> KafkaSourceOptions {
        source_options(&self.servers, &self.name, RecordForm::Millstream)
    }

    fn read(&self, stored: Position) -> Consumer {
        consumer(self.options(), stored)
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        AdminClient::from_config(&config).expect("an admin client")
    }
}

fn consumer(options: KafkaSourceOptions, stored: Position) -> Consumer {
    Consumer::new(Box::new(KafkaSource::start(options, stored).expect("a source")), stored)
}

/// Polls the source, which must return no event, until the status fulfils a condition.
async fn poll_until_status(consumer: &mut Consumer, what: &str, holds: impl Fn(&SourceStatus) -> bool) {
    let consumer = tokio::sync::Mutex::new(consumer);
    wait_until(what, PATIENCE, || async {
        let source = &mut consumer.lock().await.source;
        let event = tokio::time::timeout(Duration::from_millis(20), source.next()).await;
        assert!(event.is_err(), "unexpected event: {event:?}");
        holds(&source.status())
    })
    .await;
}

/// Confirms everything read, and waits until the brokers have committed it.
async fn commit(consumer: &mut Consumer) {
    let position = consumer.position;
    consumer.source.confirm(position);
    poll_until_status(consumer, "the brokers to know", |status| status.confirmed >= position).await;
}

#[tokio::test]
async fn several_partitions_keep_the_order_of_each_document() {
    let topic = Topic::new(3).await;
    for version in 1..=20 {
        topic.writer.write(&changes(50, version)).await.expect("written");
    }
    let mut first = topic.read(Position::ZERO);
    first.read(1_000).await;
    assert_eq!(first.position, Position::before(1_000), "the sum of the partitions");
    let mut versions: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for change in &first.changes {
        versions.entry(change.document_id).or_default().push(change.content_version);
    }
    assert_eq!(versions.len(), 50);
    assert!(versions.values().all(|versions| versions.iter().copied().eq(1..=20)), "{versions:?}");
    first.source.confirm(first.position);
    first.source.shutdown().await.expect("shut down");

    topic.writer.write(&changes(50, 21)).await.expect("written");
    let mut second = topic.read(Position::before(1_000));
    second.read(50).await;
    assert!(second.changes.iter().all(|change| change.content_version == 21), "nothing came twice");
    // The position is stored, and the process ends before it confirms.
    let stored = second.position;
    drop(second);
    topic.writer.write(&changes(50, 22)).await.expect("written");
    let mut third = topic.read(stored);
    third.read(100).await;
    assert!(third.position > stored && third.position >= Position::before(1_100));
    let again = third.changes.iter().filter(|change| change.content_version == 21).count();
    assert_eq!(again, 50, "unconfirmed changes come again, and later ones follow");
}

#[tokio::test]
async fn offsets_ahead_of_what_is_stored_are_a_gap_and_none_at_all_are_a_loss() {
    let topic = Topic::new(2).await;
    topic.writer.write(&changes(20, 1)).await.expect("written");
    let error = topic.read(Position::before(5)).error().await;
    assert!(matches!(&error, SourceError::Lost { what, .. } if what.contains("group")), "{error}");
    let mut reader = topic.read(Position::ZERO);
    reader.read(20).await;
    commit(&mut reader).await;
    reader.source.shutdown().await.expect("shut down");
    let error = topic.read(Position::before(5)).error().await;
    assert!(matches!(error, SourceError::Gap { resumes, .. } if resumes == Position::before(20)), "{error}");
    let other_group = KafkaSourceOptions { group: "stranger".to_owned(), ..topic.options() };
    let error = consumer(other_group, Position::before(20)).error().await;
    assert!(error.needs_recovery() && error.to_string().contains("stranger"), "{error}");
}

#[tokio::test]
async fn records_that_retention_deleted_are_a_loss() {
    let topic = Topic::new(1).await;
    topic.writer.write(&changes(10, 1)).await.expect("written");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic.name, 0, Offset::Offset(6)).expect("an offset");
    topic.admin().delete_records(&list, &AdminOptions::new()).await.expect("deleted");
    for stored in [Position::ZERO, Position::before(5)] {
        let mut reader = topic.read(stored);
        let error = reader.error().await;
        assert!(matches!(&error, SourceError::Lost { detail, .. } if detail.contains("retention")), "{error}");
        assert!(matches!(reader.error().await, SourceError::Stopped), "the error is returned once");
        assert!(!reader.source.status().connected);
    }
    topic.read(Position::before(6)).read(4).await;
}

#[tokio::test]
async fn a_topic_that_was_recreated_is_a_loss() {
    let topic = Topic::new(1).await;
    topic.writer.write(&changes(3, 1)).await.expect("written");
    let error = topic.read(Position::before(4)).error().await;
    assert!(matches!(&error, SourceError::Lost { detail, .. } if detail.contains("recreated")), "{error}");
}

#[tokio::test]
async fn a_compacted_topic_is_refused() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic();
    make_topic(&servers, &topic, 1, &[("cleanup.policy", "compact,delete")]).await;
    let error = consumer(source_options(&servers, &topic, RecordForm::DebeziumRouter), Position::ZERO).error().await;
    assert!(matches!(&error, SourceError::Refused { detail, .. } if detail.contains("cleanup.policy")), "{error}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named_and_not_skipped() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let (topic, producer) = (new_topic(), producer(&servers));
    make_topic(&servers, &topic, 1, &LOG).await;
    let mut records = ENVELOPE.records();
    records.truncate(3);
    // Debezium writes this without include.unknown.datatypes.
    let value = records[2].value.as_mut().expect("a value");
    *value = value.replace("TransactionId", "TransactionIt");
    for record in &records {
        write(&producer, &topic, record).await;
    }
    for _ in 0..2 {
        let mut reader = consumer(source_options(&servers, &topic, RecordForm::DebeziumEnvelope), Position::ZERO);
        let error = reader.error().await;
        assert_eq!(reader.changes.len(), 2, "the changes before it are returned");
        let SourceError::Unreadable(message) = error else { panic!("{error}") };
        for word in [topic.as_str(), "record 2 of partition 0", "debezium-envelope", "include.unknown.datatypes"] {
            assert!(message.contains(word), "{word} is not in: {message}");
        }
        reader.source.confirm(reader.position);
        reader.source.shutdown().await.expect("shut down");
    }
}

#[tokio::test]
async fn a_topic_that_does_not_exist_yet_is_waited_for() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let (topic, producer) = (new_topic(), producer(&servers));
    let options = source_options(&servers, &topic, RecordForm::DebeziumEnvelope);
    let origin = start_at_end(&options).await.expect("a position");
    assert_eq!(origin, Position::ZERO, "a topic that does not exist yet is empty");
    let mut reader = consumer(options, origin);
    poll_until_status(&mut reader, "it to report the missing topic", |status| {
        !status.connected && status.last_error.as_ref().is_some_and(|error| error.contains("does not exist"))
    })
    .await;
    make_topic(&servers, &topic, 1, &LOG).await;
    let record = &ENVELOPE.records()[0];
    write(&producer, &topic, record).await;
    reader.read(1).await;
    assert!(reader.source.status().connected);
    // A heartbeat of Debezium that was routed to this topic.
    let heartbeat = Recorded { value: Some(r#"{"ts_ms":1795274916899}"#.to_owned()), ..Recorded::default() };
    write(&producer, &topic, &heartbeat).await;
    reader.confirm_until(|position| position >= Position::before(2)).await;
}

#[tokio::test]
async fn a_start_at_the_end_reads_only_later_changes() {
    let topic = Topic::new(2).await;
    topic.writer.write(&changes(30, 1)).await.expect("written");
    let origin = start_at_end(&topic.options()).await.expect("a position");
    assert_eq!(origin, Position::before(30));
    topic.writer.write(&changes(30, 2)).await.expect("written");
    let mut reader = topic.read(origin);
    reader.read(30).await;
    assert!(reader.changes.iter().all(|change| change.content_version == 2));
}

#[tokio::test]
async fn partitions_that_are_added_are_read_too() {
    let topic = Topic::new(1).await;
    topic.writer.write(&changes(5, 1)).await.expect("written");
    let mut reader = topic.read(Position::ZERO);
    reader.read(5).await;
    let more = NewPartitions::new(&topic.name, 2);
    let made = topic.admin().create_partitions([&more], &AdminOptions::new()).await.expect("a response");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    // The existing writer uses one partition for a while; a new one uses both.
    let options = ChangeTopicOptions::new(topic.servers.as_str(), topic.name.as_str());
    let writer = ChangeTopicWriter::open(options).await.expect("a writer");
    writer.write(&changes(100, 2)).await.expect("written");
    reader.read(105).await;
    commit(&mut reader).await;
    let stored = reader.position;
    assert_eq!(stored, Position::before(105));
    reader.source.shutdown().await.expect("shut down");
    writer.write(&changes(1, 3)).await.expect("written");
    let mut again = topic.read(stored);
    again.read(1).await;
    assert_eq!(again.changes[0].content_version, 3, "nothing came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_waited_for() {
    let mut broker = KafkaBroker::start(BrokerOptions::default()).await;
    let topic = Topic::on(&broker.bootstrap_servers(), 1).await;
    topic.writer.write(&changes(10, 1)).await.expect("written");
    let mut reader = topic.read(Position::ZERO);
    reader.read(10).await;
    broker.kill(0);
    poll_until_status(&mut reader, "it to notice", |status| {
        !status.connected && status.reconnects >= 1 && status.last_error.is_some()
    })
    .await;
    let lost = topic.writer.write(&changes(10, 2)).await.expect_err("the broker is down");
    assert!(matches!(lost, ChangeTopicError::Undelivered { failed: 10, .. }), "{lost}");
    // A source that starts now waits too.
    let mut other = topic.read(Position::before(10));
    poll_until_status(&mut other, "it to notice", |status| !status.connected && status.last_error.is_some()).await;
    broker.restart(0).await;
    wait_until("it is written", PATIENCE, || async { topic.writer.write(&changes(10, 2)).await.is_ok() }).await;
    reader.read(20).await;
    assert!(reader.source.status().connected && reader.source.status().last_error.is_none());
    other.read(10).await;
    broker.kill(0);
    other.source.confirm(other.position);
    let ended = tokio::time::timeout(PATIENCE, other.source.shutdown()).await;
    assert!(ended.is_ok_and(|ended| ended.is_ok()), "a shutdown has a deadline");
}

#[tokio::test]
async fn a_user_needs_the_right_password() {
    let topic = Topic::new(1).await;
    topic.writer.write(&changes(3, 1)).await.expect("written");
    let servers = KafkaBroker::shared().await.sasl_bootstrap_servers();
    let with_password = |password: &str| {
        let properties = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", KafkaBroker::SASL_USER),
            ("sasl.password", password),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        KafkaSourceOptions { bootstrap_servers: servers.clone(), properties, ..topic.options() }
    };
    consumer(with_password(KafkaBroker::SASL_PASSWORD), Position::ZERO).read(3).await;
    let mut refused = consumer(with_password("hunter2"), Position::ZERO);
    poll_until_status(&mut refused, "it to report the error", |status| {
        let error = status.last_error.clone().unwrap_or_default();
        assert!(!error.contains("hunter2"), "{error}");
        !status.connected && error.to_lowercase().contains("authentication")
    })
    .await;
    let end = KafkaSourceOptions { answer_timeout: Duration::from_secs(3), ..with_password("hunter2") };
    let end = TopicEnd::new(end).expect("the options are right");
    wait_until("the error of the request for the end", PATIENCE, || async {
        let error = end.now().await.expect_err("refused").to_string();
        assert!(!error.contains("hunter2"), "{error}");
        error.to_lowercase().contains("authentication")
    })
    .await;
}
