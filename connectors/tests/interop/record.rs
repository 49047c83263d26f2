//! Records the connector's output as fixtures for tests without a connector, if `MILLSTREAM_RECORD_DIR` is set.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use millstream_pipeline::Change;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Returns the target directory, if set.
pub(crate) fn directory() -> Option<PathBuf> {
    std::env::var_os("MILLSTREAM_RECORD_DIR").map(PathBuf::from)
}

/// Writes every record of the topic's only partition, one per line.
pub(crate) fn topic(directory: &std::path::Path, name: &str, bootstrap_servers: &str, topic: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers).set("group.id", "the-recorder");
    config.set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("assigned");
    let mut lines = String::new();
    loop {
        match consumer.poll(ANSWER_WITHIN).expect("an answer in time") {
            Err(KafkaError::PartitionEOF(_)) => break,
            Err(error) => panic!("{error}"),
            Ok(message) => lines.push_str(&format!("{}\n", line(&message))),
        }
    }
    fs::write(directory.join(format!("{name}.jsonl")), lines).expect("a fixture can be written");
}

fn line(message: &impl Message) -> Value {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let headers = message.headers().into_iter().flat_map(|headers| {
        headers.iter().map(|header| json!([header.key, header.value.map(text)])).collect::<Vec<_>>()
    });
    let headers: Vec<Value> = headers.collect();
    json!({ "key": message.key().map(text), "value": message.payload().map(text), "headers": headers })
}

/// Writes the expected changes of the records, one per line.
pub(crate) fn changes(directory: &std::path::Path, changes: &[Change]) {
    let line = |change: &Change| {
        json!({
            "outbox_id": change.outbox_id,
            "xid": change.xid,
            "document_id": change.document_id,
            "document_uuid": change.document_uuid,
            "resource_key": change.resource_key,
            "kind": change.kind.as_str(),
            "content_version": change.content_version,
        })
    };
    let lines: String = changes.iter().map(|change| format!("{}\n", line(change))).collect();
    fs::write(directory.join("changes.jsonl"), lines).expect("a fixture can be written");
}
