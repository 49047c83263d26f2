//! Where the topic is, what it has to be, and which of librdkafka's properties a host may set.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::kafka::properties::{ANSWER_TIMEOUT, TOPIC_NAME_BYTES_MAX, is_topic_name, property_fault};
use millstream_pipeline::binding::Binding;
use millstream_schema::apischema::ResourceKey;

/// The contract asks for at least a week: for so long a consumer that was away may still learn of a delete.
const DELETE_RETENTION_MIN: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Kafka's own default of `max.message.bytes`.
const RECORD_BYTES_DEFAULT: usize = 1_048_588;
/// librdkafka accepts no less, and no more, as `message.max.bytes`.
const RECORD_BYTES: std::ops::RangeInclusive<usize> = 1_000..=1_000_000_000;
/// A documents topic and the way to it.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Name of the topic; [`topic_name`] makes it. Whoever opens it for writing last is its only writer.
    pub topic: String,
    /// Partitions, never to be changed once there are records.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication: u32,
    /// Copies that have to have a record before it counts as written (`min.insync.replicas`).
    pub in_sync_min: u32,
    /// For how long tombstones stay, at least a week (`delete.retention.ms`).
    pub delete_retention: Duration,
    /// The largest record, all of it, before compression (`max.message.bytes`).
    pub record_bytes_max: usize,
    /// Whether a topic that is not there is made.
    pub create_topic: bool,
    /// How often the mark of who writes is renewed, by a batch or by [`tend`](millstream_pipeline::sink::Sink::tend): well
    /// below the broker's `offsets.retention.minutes`.
    pub mark_every: Duration,
    /// For how long to wait for an answer of the brokers, 1 s to 5 min.
    pub answer_timeout: Duration,
    /// More properties of librdkafka: SASL, TLS, compression. Their values are never printed.
    pub properties: BTreeMap<String, String>,
    /// The types of the schema, by the keys that deliveries carry.
    pub resources: Vec<ResourceKey>,
    /// The database that the topic is a copy of; without one it is not asked whose copy it is.
    pub binding: Option<Binding>,
}

/// Brokers forget offsets that nobody committed for a week, unless they are told otherwise.
const MARK_EVERY: Duration = Duration::from_secs(3_600);

impl KafkaOptions {
    /// Options for a topic of one partition and one copy, with the contract's least and Kafka's usual figures.
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
            mark_every: MARK_EVERY,
            answer_timeout: Duration::from_secs(30),
            properties: BTreeMap::new(),
            resources,
            binding: None,
        }
    }

    /// Everything that is wrong with them, at once.
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        let mut faults = Vec::new();
        if self.bootstrap_servers.trim().is_empty() {
            faults.push("no brokers are given: set the bootstrap servers to host:port".to_owned());
        }
        if !is_topic_name(&self.topic) {
            let name = &self.topic;
            faults.push(format!(
                "{name:?} is no topic's name: 1 to {TOPIC_NAME_BYTES_MAX} letters, digits, '.', '_', '-'"
            ));
        }
        let most = i32::MAX.cast_unsigned();
        if self.partitions == 0 || self.partitions > most || self.replication == 0 || self.replication > most {
            faults.push("a topic has at least one partition and one copy".to_owned());
        }
        if self.in_sync_min == 0 || self.in_sync_min > self.replication {
            let (least, copies) = (self.in_sync_min, self.replication);
            faults.push(format!("{least} of {copies} copies in sync cannot be asked for: 1 to {copies}"));
        }
        if self.delete_retention < DELETE_RETENTION_MIN {
            let (given, least) = (self.delete_retention.as_millis(), DELETE_RETENTION_MIN.as_millis());
            faults.push(format!("tombstones have to stay for {least} ms at least, not {given}"));
        }
        if !RECORD_BYTES.contains(&self.record_bytes_max) {
            faults.push(format!("a record's ceiling is 1000 to 1000000000 bytes, not {}", self.record_bytes_max));
        }
        if !ANSWER_TIMEOUT.contains(&self.answer_timeout) {
            faults.push(format!("answers are waited for from 1 s to 5 min, not {:?}", self.answer_timeout));
        }
        faults.extend(self.properties.keys().filter_map(|name| property_fault(name)));
        if faults.is_empty() { Ok(()) } else { Err(OptionsError { faults }) }
    }
}

/// Names only: any value may be a secret.
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

/// The name that the contract gives a documents topic. A new generation is a new topic: after a restore of the database
/// to an earlier state, or with another number of partitions. The instance's key names nobody.
#[must_use]
pub fn topic_name(prefix: &str, instance_key: &str, generation: u32) -> String {
    format!("{prefix}.instance.{instance_key}-g{generation}.documents.v1")
}

/// The options of a Kafka sink cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the options of the Kafka sink are not right: {}", faults.join("; "))]
pub struct OptionsError {
    /// All that is wrong, with what to do.
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
