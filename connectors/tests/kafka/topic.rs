//! A topic whose settings differ from the contract.

use millstream_connectors::sink::kafka::{KafkaOptions, KafkaSink};
use millstream_pipeline::sink::{Sink, SinkError};
use millstream_testkit::KafkaBroker;

use crate::support::{make_topic, new_topic_name, options};

async fn differences(options: KafkaOptions) -> Vec<String> {
    let sink = KafkaSink::new(options).expect("the options are right");
    match sink.prepare().await {
        Err(SinkError::Incompatible { differences, .. }) => differences,
        other => panic!("accepted: {other:?}"),
    }
}

#[tokio::test]
async fn every_difference_of_a_topic_is_named() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let topic = new_topic_name();
    let settings = [("cleanup.policy", "delete"), ("delete.retention.ms", "1000"), ("max.message.bytes", "5000")];
    make_topic(&servers, &topic, 2, &settings).await;
    let wanted = KafkaOptions { replication: 3, in_sync_min: 2, ..options(&servers, &topic) };
    let expected = [
        "it has 2 partitions, but 3 are configured: configure 2, or start a new generation of the topic",
        "it has 1 replicas, but 3 are configured: reassign, or configure 1",
        "cleanup.policy is delete, but must be compact: alter the topic",
        "delete.retention.ms is 1000, but must be at least 604800000: alter the topic",
        "min.insync.replicas is 1, but must be at least 2: alter the topic",
        "max.message.bytes is 5000, but must be at least 1048588: alter the topic",
    ];
    assert_eq!(differences(wanted).await, expected);
}

#[tokio::test]
async fn a_topic_that_cannot_or_may_not_be_created_is_reported() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let missing = KafkaOptions { create_topic: false, ..options(&servers, &new_topic_name()) };
    assert!(differences(missing).await[0].contains("does not exist"));
    let too_many = KafkaOptions { replication: 3, ..options(&servers, &new_topic_name()) };
    let said = differences(too_many).await;
    assert!(said[0].contains("cannot be created"), "{said:?}");
}
