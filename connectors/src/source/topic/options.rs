//! Options of the topic source: brokers, topic, group, form of the records, intervals.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millstream_pipeline::source::SourceError;

use super::form::RecordForm;
use crate::kafka::properties::{ANSWER_TIMEOUT, is_topic_name, property_fault};

/// Allowed range of `report_interval`. librdkafka refreshes metadata at a multiple of it, which must stay within an
/// hour.
const REPORT_INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const GROUP_BYTES_MAX: usize = 255;

/// A source that reads a topic, and its connection.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSourceOptions {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// The topic of change records. It must contain nothing else.
    pub topic: String,
    /// The consumer group that stores the offsets. Each queue needs its own.
    pub group: String,
    /// Encoding of the records.
    pub form: RecordForm,
    /// Maximum number of changes in a batch.
    pub batch_max: usize,
    /// Minimum time between idle events, which report progress while records carry no changes.
    pub idle_interval: Duration,
    /// Interval of offset commits and of statistics, 1 ms to 1 min.
    pub report_interval: Duration,
    /// Timeout of requests to the brokers, 1 s to 5 min.
    pub answer_timeout: Duration,
    /// Further librdkafka properties: SASL, TLS. Their values are never printed.
    pub properties: BTreeMap<String, String>,
}

impl KafkaSourceOptions {
    /// Options with the default intervals.
    pub fn new(
        bootstrap_servers: impl Into<String>,
        topic: impl Into<String>,
        group: impl Into<String>,
        form: RecordForm,
    ) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic: topic.into(),
            group: group.into(),
            form,
            batch_max: 1_000,
            idle_interval: Duration::from_secs(1),
            report_interval: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(30),
            properties: BTreeMap::new(),
        }
    }

    /// Checks all options and lists every fault.
    pub(super) fn check(&self) -> Result<(), SourceError> {
        let mut faults = Vec::new();
        if self.bootstrap_servers.trim().is_empty() {
            faults.push("no brokers are given: set the bootstrap servers to host:port".to_owned());
        }
        if !is_topic_name(&self.topic) {
            faults.push(format!("{:?} is not a valid topic name", self.topic));
        }
        if self.group.is_empty() || self.group.len() > GROUP_BYTES_MAX {
            faults.push(format!("the name of a consumer group has 1 to {GROUP_BYTES_MAX} bytes"));
        }
        if self.batch_max == 0 {
            faults.push("the batch size must be at least 1".to_owned());
        }
        if !ANSWER_TIMEOUT.contains(&self.answer_timeout) {
            faults.push(format!("the answer timeout must be 1 s to 5 min, not {:?}", self.answer_timeout));
        }
        if !REPORT_INTERVAL.contains(&self.report_interval) {
            faults.push(format!("the report interval must be 1 ms to 1 min, not {:?}", self.report_interval));
        }
        faults.extend(self.properties.keys().filter_map(|name| property_fault(name)));
        if faults.is_empty() {
            return Ok(());
        }
        Err(SourceError::Refused { what: format!("reading topic {:?}", self.topic), detail: faults.join("; ") })
    }
}

/// Prints the names of properties only: any value may be a secret.
impl fmt::Debug for KafkaSourceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSourceOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("group", &self.group)
            .field("form", &self.form)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_at_once_and_no_secret() {
        let good = KafkaSourceOptions::new("127.0.0.1:9092", "t", "g", RecordForm::Millstream);
        assert!(good.check().is_ok());
        let properties = [("sasl.password", "hunter2"), ("isolation.level", "read_uncommitted")];
        let wrong = KafkaSourceOptions {
            bootstrap_servers: " ".to_owned(),
            topic: "a b".to_owned(),
            group: String::new(),
            batch_max: 0,
            answer_timeout: Duration::ZERO,
            report_interval: Duration::ZERO,
            properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..good
        };
        let text = format!("{} {wrong:?}", wrong.check().expect_err("refused"));
        for word in ["no brokers", "\"a b\"", "group", "at least 1", "5 min", "not 0ns", "isolation.level is set"] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    }
}
