//! Options of the Kafka sink: brokers, topic, fencing, and librdkafka properties.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::kafka::properties::{ANSWER_TIMEOUT, TOPIC_NAME_BYTES_MAX, is_topic_name, property_fault};
use millstream_pipeline::binding::Binding;
use millstream_schema::apischema::ResourceKey;

/// Minimum of the contract, a week: a consumer that was away for less still sees every delete.
const DELETE_RETENTION_MIN: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Kafka's default of `max.message.bytes`.
const RECORD_BYTES_DEFAULT: usize = 1_048_588;
/// librdkafka's range of `message.max.bytes`.
const RECORD_BYTES: std::ops::RangeInclusive<usize> = 1_000..=1_000_000_000;
/// Default of [`KafkaOptions::fence_interval`]. Brokers drop offsets that were not committed for a week, by default.
const FENCE_INTERVAL: Duration = Duration::from_secs(3_600);

/// A documents topic and its connection.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Name of the topic, from [`topic_name`]. The process that last opened it for writing is its only writer.
    pub topic: String,
    /// Number of partitions. Must not change once there are records.
    pub partitions: u32,
    /// Replication factor.
    pub replication: u32,
    /// Replicas that must have a record before it counts as written (`min.insync.replicas`).
    pub in_sync_min: u32,
    /// Retention of tombstones, at least a week (`delete.retention.ms`).
    pub delete_retention: Duration,
    /// Maximum size of a whole record before compression (`max.message.bytes`).
    pub record_bytes_max: usize,
    /// Whether to create a missing topic.
    pub create_topic: bool,
    /// Interval at which the writer fence is renewed, by a batch or by [`tend`](millstream_pipeline::sink::Sink::tend).
    /// Keep it well below the broker's `offsets.retention.minutes`.
    pub fence_interval: Duration,
    /// Timeout of requests to the brokers, 1 s to 5 min.
    pub answer_timeout: Duration,
    /// Further librdkafka properties: SASL, TLS, compression. Their values are never printed.
    pub properties: BTreeMap<String, String>,
    /// The resources of the schema. Deliveries refer to them by key.
    pub resources: Vec<ResourceKey>,
    /// The database that the topic is a copy of. Without one the sink does not check the topic's database.
    pub binding: Option<Binding>,
}

impl KafkaOptions {
    /// Options for a topic of one partition and one replica, with the contract's minimums and Kafka's defaults.
    pub fn new(bootstrap_servers: impl Into<String>, topic: impl Into<String>, resources: Vec<ResourceKey>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic: topic.into(),
            partitions: 1,
            replication: 1,
            in_sync_min: 1,
            delete_retention: DELETE_RETENTION_MIN,
            record_bytes_max: RECORD_BYTES_DEFAULT,
            create_topic: true,
            fence_interval: FENCE_INTERVAL,
            answer_timeout: Duration::from_secs(30),
            properties: BTreeMap::new(),
            resources,
            binding: None,
        }
    }

    /// Checks all options and lists every fault.
    pub(super) fn check(&self) -> Result<(), KafkaOptionsError> {
        let mut faults = Vec::new();
        if self.bootstrap_servers.trim().is_empty() {
            faults.push("no brokers are given: set the bootstrap servers to host:port".to_owned());
        }
        if !is_topic_name(&self.topic) {
            let name = &self.topic;
            faults.push(format!(
                "{name:?} is not a valid topic name: 1 to {TOPIC_NAME_BYTES_MAX} letters, digits, '.', '_', '-'"
            ));
        }
        let most = i32::MAX.cast_unsigned();
        if self.partitions == 0 || self.partitions > most || self.replication == 0 || self.replication > most {
            faults.push("a topic has at least one partition and one replica".to_owned());
        }
        if self.in_sync_min == 0 || self.in_sync_min > self.replication {
            let (min, replicas) = (self.in_sync_min, self.replication);
            faults.push(format!("{min} of {replicas} replicas in sync are not possible: use 1 to {replicas}"));
        }
        if self.delete_retention < DELETE_RETENTION_MIN {
            let (given, least) = (self.delete_retention.as_millis(), DELETE_RETENTION_MIN.as_millis());
            faults.push(format!("the retention of tombstones must be at least {least} ms, not {given}"));
        }
        if !RECORD_BYTES.contains(&self.record_bytes_max) {
            faults.push(format!("the record limit must be 1000 to 1000000000 bytes, not {}", self.record_bytes_max));
        }
        if !ANSWER_TIMEOUT.contains(&self.answer_timeout) {
            faults.push(format!("the answer timeout must be 1 s to 5 min, not {:?}", self.answer_timeout));
        }
        faults.extend(self.properties.keys().filter_map(|name| property_fault(name)));
        if faults.is_empty() { Ok(()) } else { Err(KafkaOptionsError { faults }) }
    }
}

/// Prints the names of properties only: any value may be a secret.
impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Returns the contract's name of a documents topic. A new generation is a new topic, needed after a restore of the
/// database to an earlier state, or for another number of partitions. The instance's key identifies no person or
/// organisation.
#[must_use]
pub fn topic_name(prefix: &str, instance_key: &str, generation: u32) -> String {
    format!("{prefix}.instance.{instance_key}-g{generation}.documents.v1")
}

/// Invalid options of a Kafka sink.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid options of the Kafka sink: {}", faults.join("; "))]
pub struct KafkaOptionsError {
    /// Every fault, with its remedy.
    pub faults: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> KafkaOptions {
        KafkaOptions::new("127.0.0.1:9092", topic_name("ed-fi", "a1", 1), Vec::new())
    }

    #[test]
    fn the_name_is_that_of_the_contract() {
        assert_eq!(options().topic, "ed-fi.instance.a1-g1.documents.v1");
        assert_eq!(options().check(), Ok(()));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let properties = [("acks", "0"), ("sasl.password", "pässword"), ("sasl.pasword", "hunter2")];
        let wrong = KafkaOptions {
            bootstrap_servers: String::new(),
            topic: "a b".to_owned(),
            in_sync_min: 2,
            delete_retention: Duration::from_secs(60),
            record_bytes_max: 10,
            answer_timeout: Duration::ZERO,
            properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..options()
        };
        let error = wrong.check().expect_err("refused");
        assert_eq!(error.faults.len(), 8, "{error}");
        let text = format!("{error} {wrong:?}");
        for named in
            ["no brokers", "\"a b\"", "2 of 1", "604800000", "not 10", "acks is set", "sasl.pasword is not known"]
        {
            assert!(text.contains(named), "{named} in {text}");
        }
        assert!(!text.contains("hunter2") && !text.contains("pässword"), "{text}");
    }
}
