//! Configuration of the librdkafka clients of the sink: admin, the two transactional producers, readers.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::producer::FutureProducer;

use super::options::KafkaOptions;
use crate::kafka::client::{Observer, connection};

/// A transaction may last as long as its records may wait, and some calls more; for longer a dead writer does not hold
/// up the readers of committed records.
const TRANSACTION_BEYOND_ANSWER: Duration = Duration::from_secs(30);
/// What a reader holds in memory that nobody has asked for yet.
const READ_AHEAD_KIB: usize = 4_096;
/// How soon a reader that holds as much as it may fetches more: librdkafka would wait for a second.
const LOOK_AGAIN_MS: u32 = 10;
/// What one answer to a reader carries.
const FETCH_BYTES_MAX: usize = 1 << 20;
/// A producer's batch, unless a record may not even be that large.
const BATCH_BYTES_MAX: usize = 1_000_000;

fn common(options: &KafkaOptions) -> ClientConfig {
    connection(&options.bootstrap_servers, &options.properties)
}

/// For questions about topics.
pub(super) fn admin(options: &KafkaOptions) -> ClientConfig {
    common(options)
}

/// For the writer's two producers. A batch is never larger than the broker takes: it refuses batches, not records.
pub(super) fn producers(options: &KafkaOptions) -> [ClientConfig; 2] {
    let mut config = common(options);
    if !options.properties.contains_key("linger.ms") {
        // The records of a batch are queued at once, and nothing comes after them.
        config.set("linger.ms", "0");
    }
    config
        .set("transaction.timeout.ms", millis(options.answer_timeout + TRANSACTION_BEYOND_ANSWER))
        .set("message.timeout.ms", millis(options.answer_timeout))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "5")
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", options.record_bytes_max.to_string())
        .set("batch.size", options.record_bytes_max.min(BATCH_BYTES_MAX).to_string());
    // No topic has a name with a slash, so no other topic's writer has the second name.
    [writer_id(options), format!("{}/2", writer_id(options))].map(|id| {
        let mut config = config.clone();
        config.set("transactional.id", id);
        config
    })
}

/// For readers of what was committed. They join no group and commit nothing; the protocol wants a name for one.
pub(super) fn reader(options: &KafkaOptions) -> ClientConfig {
    let mut config = common(options);
    for producers_only in ["compression.type", "compression.level", "linger.ms"] {
        config.remove(producers_only);
    }
    config
        .set("group.id", writer_id(options))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", READ_AHEAD_KIB.to_string())
        .set("fetch.queue.backoff.ms", LOOK_AGAIN_MS.to_string())
        .set("fetch.message.max.bytes", FETCH_BYTES_MAX.to_string())
        // Not less than the largest record may be.
        .set("fetch.max.bytes", FETCH_BYTES_MAX.max(options.record_bytes_max).to_string())
        .set("receive.message.max.bytes", (FETCH_BYTES_MAX.max(options.record_bytes_max) + 1_000_000).to_string());
    config
}

/// The name that the right to write goes by: one for each topic, whatever the sinks that point to it are called.
pub(super) fn writer_id(options: &KafkaOptions) -> String {
    format!("millstream.{}", options.topic)
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// One of the writer's two.
pub(super) type TransactionalProducer = FutureProducer<Observer>;
