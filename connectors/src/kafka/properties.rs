//! Properties of librdkafka that a configuration may set, and Kafka's limits for names and timeouts.

use std::time::Duration;

pub(crate) const TOPIC_NAME_BYTES_MAX: usize = 249;
/// Brokers allow 15 minutes for a transaction by default.
pub(crate) const ANSWER_TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// Properties that a host may set: connection, authentication, compression.
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

/// Properties on which the topic contract or the accounting of deliveries depends.
const RESERVED: &[&str] = &[
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

/// Returns why a host may not set a property; `None` if it may.
pub(crate) fn property_fault(name: &str) -> Option<String> {
    if ALLOWED.contains(&name) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("the property {name} is set by Millstream: leave it out"));
    }
    Some(format!("the property {name} is not known; use one of: {}", ALLOWED.join(", ")))
}

/// Returns whether `name` is a valid name of a topic.
pub fn is_topic_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= TOPIC_NAME_BYTES_MAX && name != "." && name != ".." && name.chars().all(plain)
}
