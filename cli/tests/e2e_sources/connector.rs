//! Simulates a Debezium connector: reads the replication slot and writes records in the recorded Debezium format.

use crate::fixtures::{ENVELOPE, Recorded, write};
use crate::installation::Installation;
use millstream_connectors::source::slot::{LogicalOptions, LogicalSource, ensure_slot};
use millstream_pipeline::source::{ChangeSource, SourceEvent};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::producer::FutureProducer;
use std::time::Duration;
use tokio::task::JoinHandle;

/// A simulated connector; dropping it stops it.
pub(crate) struct Connector {
    slot: String,
    topic: String,
    bootstrap_servers: String,
    task: JoinHandle<()>,
}

impl Connector {
    pub(crate) async fn start(installation: &Installation) -> Self {
        let (slot, topic) =
            (format!("debezium_{}", installation.name()), format!("edfi-{}.dms.Outbox", installation.name()));
        let database = installation.database.options();
        let options = LogicalOptions {
            status_interval: Duration::from_millis(100),
            idle_interval: Duration::from_millis(100),
            ..LogicalOptions::new(database, &slot)
        };
        let origin = ensure_slot(&options).await.expect("a slot").position;
        let source = LogicalSource::start(options, origin, None).expect("a source");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &installation.bootstrap_servers);
        create_topic(&config, &topic).await;
        config.set("enable.idempotence", "true");
        let producer: FutureProducer = config.create().expect("a producer");
        let task = tokio::spawn(copy(Box::new(source), producer, topic.clone()));
        Self { slot, topic, bootstrap_servers: installation.bootstrap_servers.clone(), task }
    }

    /// Returns the flags of a process that reads the topic. `slot` replaces the prefix of the slot name; `debezium` is the
    /// correct one.
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
        assert!(!self.task.is_finished(), "the connector stopped");
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Creates the topic with several partitions, so that positions are sums of offsets.
async fn create_topic(config: &ClientConfig, topic: &str) {
    let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(config).expect("an admin client");
    let new = NewTopic::new(topic, 3, TopicReplication::Fixed(1)).set("cleanup.policy", "delete");
    let created = admin.create_topics([&new], &AdminOptions::new()).await.expect("a response");
    assert!(created.iter().all(Result::is_ok), "{created:?}");
}

/// Copies changes from the slot to the topic, and confirms only changes that the brokers have acknowledged.
async fn copy(mut source: Box<dyn ChangeSource>, producer: FutureProducer, topic: String) {
    loop {
        let event = source.next().await.expect("an event");
        let position = event.position();
        if let SourceEvent::Changes(batch) = event {
            let records: Vec<Recorded> = batch.changes.iter().map(|change| ENVELOPE.like(change)).collect();
            // Enqueue all records in order before waiting for the first acknowledgement.
            futures::future::join_all(records.iter().map(|record| write(&producer, &topic, record))).await;
        }
        source.confirm(position);
    }
}
