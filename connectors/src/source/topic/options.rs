//! Which topic to read, as which group, in which form, and how to get to the brokers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millstream_pipeline::source::SourceError;

use super::form::RecordForm;
use crate::kafka::properties::{is_topic_name, property_fault};

/// How long brokers may take to answer a question.
const ANSWER_TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// librdkafka looks for new partitions once an hour at least, which is a multiple of this.
const REPORT_INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const GROUP_BYTES_MAX: usize = 255;

/// A source that reads a topic, and the way to it.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSourceOptions {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// The topic with the change records, and with nothing else.
    pub topic: String,
    /// The consumer group that offsets are kept for: one for each queue, shared with nobody.
    pub group: String,
    /// Whose records they are.
    pub form: RecordForm,
    /// How many changes a batch holds at most.
    pub batch_max: usize,
    /// How often progress is handed out while records come that are no changes.
    pub idle_interval: Duration,
    /// How often offsets are committed at most, and figures are taken: 1 ms to 1 min.
    pub report_interval: Duration,
    /// For how long to wait for an answer of the brokers, 1 s to 5 min.
    pub answer_timeout: Duration,
    /// More properties of librdkafka: SASL, TLS. Their values are never printed.
    pub properties: BTreeMap<String, String>,
}

impl KafkaSourceOptions {
    /// Options with the usual intervals.
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

    /// Everything that is wrong with them, at once.
    pub(super) fn check(&self) -> Result<(), SourceError> {
        let mut faults = Vec::new();
        if self.bootstrap_servers.trim().is_empty() {
            faults.push("no brokers are given: set the bootstrap servers to host:port".to_owned());
        }
        if !is_topic_name(&self.topic) {
            faults.push(format!("{:?} is no topic's name", self.topic));
        }
        if self.group.is_empty() || self.group.len() > GROUP_BYTES_MAX {
            faults.push(format!("a consumer group has a name of 1 to {GROUP_BYTES_MAX} bytes"));
        }
        if self.batch_max == 0 {
            faults.push("a batch has to hold at least one change".to_owned());
        }
        if !ANSWER_TIMEOUT.contains(&self.answer_timeout) {
            faults.push(format!("answers are waited for from 1 s to 5 min, not {:?}", self.answer_timeout));
        }
        if !REPORT_INTERVAL.contains(&self.report_interval) {
            faults.push(format!("offsets are committed every 1 ms to 1 min, not {:?}", self.report_interval));
        }
        faults.extend(self.properties.keys().filter_map(|name| property_fault(name)));
        if faults.is_empty() {
            return Ok(());
        }
        Err(SourceError::Refused { what: format!("reading topic {:?}", self.topic), detail: faults.join("; ") })
    }
}

/// Names only: any value may be a secret.
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
        for word in ["no brokers", "\"a b\"", "group", "at least one", "5 min", "not 0ns", "isolation.level is set"] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    }
}
