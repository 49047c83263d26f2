//! Configuration of the librdkafka clients of the sink: admin, the two transactional producers, readers.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::FutureProducer;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::options::KafkaOptions;
use crate::kafka::client::{Observer, connection};

/// Lifetime of a transaction beyond the timeout of its records. It covers the remaining calls, and limits how long a
/// dead writer blocks readers of committed records.
const TRANSACTION_MARGIN: Duration = Duration::from_secs(30);
/// Prefetched records that a reader holds in memory.
const READ_AHEAD_KIB: usize = 4_096;
/// Pause of the prefetch when the buffer is full. The default is one second.
const FETCH_BACKOFF_MS: u32 = 10;
/// Maximum size of one fetch response.
const FETCH_BYTES_MAX: usize = 1 << 20;
/// Maximum size of a producer's batch, unless the record limit is smaller.
const BATCH_BYTES_MAX: usize = 1_000_000;

fn common(options: &KafkaOptions) -> ClientConfig {
    connection(&options.bootstrap_servers, &options.properties)
}

/// Configuration for requests about topics.
pub(super) fn admin(options: &KafkaOptions) -> ClientConfig {
    common(options)
}

/// Configuration of the writer's two producers. A batch stays below the broker's limit, which applies to batches, not
/// to records.
pub(super) fn producers(options: &KafkaOptions) -> [ClientConfig; 2] {
    let mut config = common(options);
    if !options.properties.contains_key("linger.ms") {
        // The writer queues all records of a batch at once, so waiting for more is useless.
        config.set("linger.ms", "0");
    }
    config
        .set("transaction.timeout.ms", millis(options.answer_timeout + TRANSACTION_MARGIN))
        .set("message.timeout.ms", millis(options.answer_timeout))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "5")
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", options.record_bytes_max.to_string())
        .set("batch.size", options.record_bytes_max.min(BATCH_BYTES_MAX).to_string());
    // Topic names contain no slash, so the second name cannot collide with another topic's writer.
    [writer_id(options), format!("{}/2", writer_id(options))].map(|id| {
        let mut config = config.clone();
        config.set("transactional.id", id);
        config
    })
}

/// Configuration of readers of committed records. They join no group and commit nothing; the protocol requires a group
/// name.
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
        .set("fetch.queue.backoff.ms", FETCH_BACKOFF_MS.to_string())
        .set("fetch.message.max.bytes", FETCH_BYTES_MAX.to_string())
        // At least the size of the largest record.
        .set("fetch.max.bytes", FETCH_BYTES_MAX.max(options.record_bytes_max).to_string())
        .set("receive.message.max.bytes", (FETCH_BYTES_MAX.max(options.record_bytes_max) + 1_000_000).to_string());
    config
}

/// Returns the topic's `transactional.id`. It depends on the topic only, not on the name of the sink.
pub(super) fn writer_id(options: &KafkaOptions) -> String {
    format!("millstream.{}", options.topic)
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// One of the writer's two producers.
pub(super) type TransactionalProducer = FutureProducer<Observer>;

/// Returns whether the transaction has to be aborted.
pub(super) fn requires_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

/// Returns whether the producer is unusable.
pub(super) fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_fatal())
}

/// Returns whether another producer has fenced this one.
pub(super) fn is_fenced(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch))
}
