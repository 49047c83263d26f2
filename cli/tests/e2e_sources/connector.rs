//! A topic as a Debezium connector fills it: with its recorded records, filled with what the slot brings.

use crate::fixtures::{ENVELOPE, Recorded, write};
use crate::place::Place;
use millstream_connectors::source::slot::{LogicalOptions, LogicalSource, ensure_slot};
use millstream_pipeline::source::{ChangeSource, SourceEvent};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::producer::FutureProducer;
use std::time::Duration;
use tokio::task::JoinHandle;

/// It runs until it is dropped.
pub(crate) struct Connector {
    slot: String,
    topic: String,
    bootstrap_servers: String,
    carrying: JoinHandle<()>,
}

impl Connector {
    pub(crate) async fn start(place: &Place) -> Self {
        let (slot, topic) = (format!("debezium_{}", place.name()), format!("edfi-{}.dms.Outbox", place.name()));
        let database = place.database.options();
        let options = LogicalOptions {
            status_interval: Duration::from_millis(100),
            idle_interval: Duration::from_millis(100),
            ..LogicalOptions::new(database, &slot)
        };
        let origin = ensure_slot(&options).await.expect("a slot").position;
        let source = LogicalSource::start(options, origin, None).expect("a source");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &place.bootstrap_servers);
        make_topic(&config, &topic).await;
        config.set("enable.idempotence", "true");
        let producer: FutureProducer = config.create().expect("a producer");
        let carrying = tokio::spawn(carry(Box::new(source), producer, topic.clone()));
        Self { slot, topic, bootstrap_servers: place.bootstrap_servers.clone(), carrying }
    }

    /// For those who read the topic, and take this for the beginning of the slot's name: `debezium` is right.
    pub(crate) fn flags(&self, slot: &str) -> Vec<String> {
        vec![
            "--source-kind=debezium".to_owned(),
            format!("--source-topic={}", self.topic),
            format!("--source-slot={}", self.slot.replace("debezium", slot)),
            format!("--source-group={}", self.topic),
            format!("--kafka-bootstrap-servers={}", self.bootstrap_servers),
        ]
    }

    pub(crate) fn assert_running(&self) {
        assert!(!self.carrying.is_finished(), "it gave up");
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

/// With more than one partition, so that positions are sums.
async fn make_topic(config: &ClientConfig, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(config).expect("an admin client");
    let new = NewTopic::new(topic, 3, TopicReplication::Fixed(1)).set("cleanup.policy", "delete");
    let made = admin.create_topics([&new], &AdminOptions::new()).await.expect("an answer");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// As the real one: it confirms what the brokers have.
async fn carry(mut source: Box<dyn ChangeSource>, producer: FutureProducer, topic: String) {
    loop {
        let event = source.next().await.expect("an event");
        let position = event.position();
        if let SourceEvent::Changes(batch) = event {
            let records: Vec<Recorded> = batch.changes.iter().map(|change| ENVELOPE.like(change)).collect();
            // All are queued, in order, before the first is waited for.
            futures::future::join_all(records.iter().map(|record| write(&producer, &topic, record))).await;
        }
        source.confirm(position);
    }
}
