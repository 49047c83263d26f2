//! Properties of librdkafka that a configuration may set, and the limits that Kafka puts on names and timeouts.

use std::time::Duration;

pub(crate) const TOPIC_NAME_BYTES_MAX: usize = 249;
/// Brokers allow 15 minutes for a transaction unless they are told otherwise.
pub(crate) const ANSWER_TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// Properties of librdkafka that a host may set: how to get to the brokers and who we are there, and how to compress.
const ALLOWED: &[&str] = &[
    "broker.address.family",
    "client.dns.lookup",
    "client.id",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "linger.ms",
    "metadata.max.age.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
];

/// Those that the contract or the account of deliveries stands on.
const OURS: &[&str] = &[
    "acks",
    "batch.size",
    "bootstrap.servers",
    "enable.idempotence",
    "group.id",
    "isolation.level",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "message.timeout.ms",
    "partitioner",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Why a host may not set a property of librdkafka, if it may not.
pub(crate) fn property_fault(name: &str) -> Option<String> {
    if ALLOWED.contains(&name) {
        return None;
    }
    if OURS.contains(&name) {
        return Some(format!("the property {name} is set by Millstream: leave it out"));
    }
    Some(format!("the property {name} is not known here; there are: {}", ALLOWED.join(", ")))
}

/// Whether Kafka takes it for the name of a topic.
pub fn is_topic_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= TOPIC_NAME_BYTES_MAX && name != "." && name != ".." && name.chars().all(plain)
}
