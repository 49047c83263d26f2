//! Sinks, documents, and a reader of a topic that uses no code of the sink.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink, topic_name};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Held, Outcome, Sink, SinkError};
use millstream_schema::apischema::ResourceKey;
use millstream_testkit::wait_for;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

pub(crate) const PARTITIONS: u32 = 3;
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Returns a name unique to a test.
pub(crate) fn new_topic_name() -> String {
    topic_name("test", &Uuid::new_v4().simple().to_string(), 1)
}

pub(crate) fn resources() -> Vec<ResourceKey> {
    let key = |id, name: &str| ResourceKey {
        id,
        project_name: "Ed-Fi".to_owned(),
        resource_name: name.to_owned(),
        resource_version: "5.2.0".to_owned(),
    };
    vec![key(1, "School"), key(2, "Student")]
}

pub(crate) fn options(bootstrap_servers: &str, topic: &str) -> KafkaOptions {
    KafkaOptions {
        partitions: PARTITIONS,
        answer_timeout: Duration::from_secs(10),
        ..KafkaOptions::new(bootstrap_servers, topic, resources())
    }
}

/// Opens and prepares a sink.
pub(crate) async fn open(options: KafkaOptions) -> KafkaSink {
    let sink = KafkaSink::new(options).expect("the options are right");
    // A new broker creates its internal topics first.
    wait_for("the sink to be ready", READY_WITHIN, || async {
        match sink.prepare().await {
            Err(SinkError::Unavailable { .. }) => None,
            Err(error) => panic!("{error}"),
            Ok(()) => Some(()),
        }
    })
    .await;
    sink
}

pub(crate) fn key(number: u128) -> DocumentKey {
    DocumentKey { uuid: Uuid::from_u128(0x0DD5_0000_0000_4000_8000_0000_0000_0000 + number), resource_key: 1 }
}

pub(crate) fn document(uuid: Uuid, version: i64, text: &str) -> Bytes {
    let text = serde_json::Value::from(text);
    Bytes::from(format!(
        r#"{{"id":"{uuid}","_etag":"{version}","_lastModifiedDate":"2031-08-20T09:15:00Z","amount":0.100000000000000000001,"text":{text}}}"#
    ))
}

pub(crate) fn upsert(number: u128, version: i64, text: &str) -> Delivery {
    let key = key(number);
    Delivery { key, version, content: Content::Document(document(key.uuid, version, text)), repair: false }
}

pub(crate) fn delete(number: u128, version: i64) -> Delivery {
    Delivery { key: key(number), version, content: Content::Deleted, repair: false }
}

pub(crate) fn assert_all_done(outcomes: &[Outcome]) {
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
}

/// Returns the state by the contract's rules for readers, through the sink's scan.
pub(crate) async fn state(sink: &KafkaSink) -> BTreeMap<Uuid, (i64, Bytes)> {
    let mut scan = sink.scan().await.expect("it can be scanned");
    let mut state = BTreeMap::new();
    loop {
        let page = scan.next().await.expect("a page");
        if page.is_empty() {
            return state;
        }
        for Held { uuid, version, content, .. } in page {
            match (content, version) {
                (Content::Document(json), Some(version)) => {
                    if state.get(&uuid).is_none_or(|(held, _)| *held <= version) {
                        state.insert(uuid, (version, json));
                    }
                }
                _ => drop(state.remove(&uuid)),
            }
        }
    }
}

/// A record of the topic.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// Reads every committed record without code of the sink.
pub(crate) fn rows(bootstrap_servers: &str, topic: &str) -> Vec<Row> {
    let reader = |isolation: &str| -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap_servers).set("group.id", "a-plain-reader");
        config.set("enable.auto.commit", "false").set("enable.partition.eof", "true").set("isolation.level", isolation);
        config.create().expect("a consumer")
    };
    let (consumer, whole) = (reader("read_committed"), reader("read_uncommitted"));
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN).expect("metadata");
    let mut open: Vec<i32> = metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &open {
        // The broker confirms a commit before its control record is in the partition.
        let end = |reader: &BaseConsumer| reader.fetch_watermarks(topic, *partition, ANSWER_WITHIN).expect("its end").1;
        let (all, until) = (end(&whole), Instant::now() + ANSWER_WITHIN);
        while end(&consumer) < all {
            assert!(Instant::now() < until, "partition {partition} has an open transaction");
            std::thread::sleep(Duration::from_millis(10));
        }
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&assignment).expect("assigned");
    let mut rows = Vec::new();
    while !open.is_empty() {
        match consumer.poll(ANSWER_WITHIN).expect("a response in time") {
            Err(KafkaError::PartitionEOF(partition)) => open.retain(|open| *open != partition),
            Err(error) => panic!("{error}"),
            Ok(message) => rows.push(row(&message)),
        }
    }
    rows
}

fn row(message: &impl Message) -> Row {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let headers = message.headers().into_iter().flat_map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default()))).collect::<Vec<_>>()
    });
    Row {
        partition: message.partition(),
        key: text(message.key().expect("a key")),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.collect(),
    }
}

/// Creates a topic without the sink.
pub(crate) async fn make_topic(bootstrap_servers: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers);
    let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(&config).expect("an admin client");
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    let made = admin.create_topics([&new], &AdminOptions::new()).await.expect("a response");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// Replaces all settings of a topic.
pub(crate) async fn alter_topic(bootstrap_servers: &str, name: &str, settings: &[(&str, &str)]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers);
    let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(&config).expect("an admin client");
    let change = AlterConfig::new(ResourceSpecifier::Topic(name));
    let change = settings.iter().fold(change, |change, (name, value)| change.set(name, value));
    let altered = admin.alter_configs([&change], &AdminOptions::new()).await.expect("a response");
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
}
