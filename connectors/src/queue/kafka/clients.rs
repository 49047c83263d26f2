//! Clients of librdkafka as the queue needs them.

use std::time::Duration;

use rdkafka::config::ClientConfig;

use super::options::{KafkaQueueOptions, POLL_INTERVAL_MAX};
use crate::kafka::client::connection;

/// What a reader holds in memory that nobody has asked for yet.
const READ_AHEAD_KIB: usize = 4_096;
/// A member shows that it lives at least so often.
const HEARTBEAT_MAX: Duration = Duration::from_secs(3);

fn common(options: &KafkaQueueOptions) -> ClientConfig {
    connection(&options.bootstrap_servers, &options.properties)
}

pub(super) fn admin(options: &KafkaQueueOptions) -> ClientConfig {
    common(options)
}

/// For everything that is written. A record that was not sent within a session's time is not sent at all: a process that
/// was stopped for longer wakes up with an empty queue, and what it had in hand is others' by then.
pub(super) fn producer(options: &KafkaQueueOptions) -> ClientConfig {
    let mut config = common(options);
    if !options.properties.contains_key("linger.ms") {
        config.set("linger.ms", "1");
    }
    config
        .set("message.timeout.ms", millis(options.answer_timeout.min(options.session_timeout)))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "5")
        .set("partitioner", "murmur2_random");
    config
}

fn reader(options: &KafkaQueueOptions, group: &str) -> ClientConfig {
    let mut config = common(options);
    for producers_only in ["compression.type", "compression.level", "linger.ms"] {
        config.remove(producers_only);
    }
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", READ_AHEAD_KIB.to_string());
    config
}

/// Follows a compacted topic, and answers questions about offsets. It joins no group and commits nothing.
pub(super) fn follower(options: &KafkaQueueOptions, group: &str) -> ClientConfig {
    let mut config = reader(options, group);
    config.set("enable.partition.eof", "true");
    config
}

/// Takes part in a group. Partitions move one by one: who keeps his goes on meanwhile.
pub(super) fn member(options: &KafkaQueueOptions, group: &str) -> ClientConfig {
    let mut config = reader(options, group);
    config
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", millis(options.session_timeout))
        .set("heartbeat.interval.ms", millis((options.session_timeout / 3).min(HEARTBEAT_MAX)))
        .set("max.poll.interval.ms", millis(POLL_INTERVAL_MAX));
    config
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
