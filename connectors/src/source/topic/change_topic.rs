//! Millstream's own change topic: its options, its errors, and its creation.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millstream_pipeline::source::SourceError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::kafka::errors::describe;
use crate::kafka::properties::{is_topic_name, property_fault};

/// A failure to write changes to the topic.
#[derive(Debug, thiserror::Error)]
pub enum ChangeTopicError {
    /// The options are invalid; nothing was tried.
    #[error("invalid options of the change topic: {}", faults.join("; "))]
    Options {
        /// Every fault, with its remedy.
        faults: Vec<String>,
    },
    /// The brokers did not respond, or refused. A retry may succeed.
    #[error("the change topic {topic} cannot be written to: {reason}")]
    Unavailable {
        /// The topic.
        topic: String,
        /// The client's reason.
        reason: String,
    },
    /// Some of the changes may not be in the topic. Write all of them again: duplicates are harmless.
    #[error("{failed} of {count} changes were not written to topic {topic}: {reason}")]
    Undelivered {
        /// The topic.
        topic: String,
        /// Number of changes in the batch.
        count: usize,
        /// Number of changes not reported as written.
        failed: usize,
        /// The first reason.
        reason: String,
    },
    /// The relayed source cannot continue.
    #[error("the source of the relay failed")]
    Source(#[source] SourceError),
}

/// The change topic, for its writer.
#[derive(Clone, PartialEq, Eq)]
pub struct ChangeTopicOptions {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Name of the topic. It has one writer and contains nothing else.
    pub topic: String,
    /// Number of partitions of a new topic.
    pub partitions: u32,
    /// Replication factor of a new topic.
    pub replication: u32,
    /// `min.insync.replicas` of a new topic.
    pub in_sync_min: u32,
    /// Retention of a new topic: the longest outage of a reader without loss.
    pub retention: Duration,
    /// Timeout of requests to the brokers.
    pub answer_timeout: Duration,
    /// Further librdkafka properties: SASL, TLS, compression. Their values are never printed.
    pub properties: BTreeMap<String, String>,
}

impl ChangeTopicOptions {
    /// Options for a topic of one partition and one replica, with a retention of a week.
    pub fn new(bootstrap_servers: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic: topic.into(),
            partitions: 1,
            replication: 1,
            in_sync_min: 1,
            retention: Duration::from_secs(7 * 24 * 3_600),
            answer_timeout: Duration::from_secs(30),
            properties: BTreeMap::new(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ChangeTopicError> {
        let mut faults = Vec::new();
        if self.bootstrap_servers.trim().is_empty() {
            faults.push("no brokers are given: set the bootstrap servers to host:port".to_owned());
        }
        if !is_topic_name(&self.topic) {
            faults.push(format!("{:?} is not a valid topic name", self.topic));
        }
        let counts = 1..=i32::MAX.cast_unsigned();
        if !counts.contains(&self.partitions) || !counts.contains(&self.replication) {
            faults.push("a topic has at least one partition and one replica".to_owned());
        }
        if !(1..=self.replication).contains(&self.in_sync_min) {
            faults.push(format!("{} of {} replicas in sync are not possible", self.in_sync_min, self.replication));
        }
        if self.answer_timeout.is_zero() {
            faults.push("the answer timeout must be positive".to_owned());
        }
        faults.extend(self.properties.keys().filter_map(|name| property_fault(name)));
        if faults.is_empty() { Ok(()) } else { Err(ChangeTopicError::Options { faults }) }
    }
}

/// Prints the names of properties only: any value may be a secret.
impl fmt::Debug for ChangeTopicOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeTopicOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Creates the topic if it does not exist. An existing topic keeps its settings.
pub(super) async fn ensure(
    options: &ChangeTopicOptions,
    config: &rdkafka::ClientConfig,
) -> Result<(), ChangeTopicError> {
    let failed =
        |error: &KafkaError| ChangeTopicError::Unavailable { topic: options.topic.clone(), reason: describe(error) };
    let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(config).map_err(|error| failed(&error))?;
    // `check` of the options keeps both within range.
    let replication = TopicReplication::Fixed(options.replication.cast_signed());
    let (retention_ms, in_sync_min) = (options.retention.as_millis().to_string(), options.in_sync_min.to_string());
    let topic = NewTopic::new(&options.topic, options.partitions.cast_signed(), replication)
        .set("cleanup.policy", "delete")
        .set("retention.ms", &retention_ms)
        .set("min.insync.replicas", &in_sync_min);
    let limit = AdminOptions::new()
        .request_timeout(Some(options.answer_timeout))
        .operation_timeout(Some(options.answer_timeout));
    let response = admin.create_topics([&topic], &limit).await.map_err(|error| failed(&error))?;
    match response.into_iter().next() {
        Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(failed(&KafkaError::AdminOp(code))),
        None => Err(failed(&KafkaError::AdminOp(Code::Fail))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_named_at_once() {
        assert!(ChangeTopicOptions::new("b:1", "t").check().is_ok());
        let wrong = ChangeTopicOptions {
            bootstrap_servers: String::new(),
            topic: String::new(),
            partitions: 0,
            in_sync_min: 2,
            answer_timeout: Duration::ZERO,
            properties: [("sasl.pasword".to_owned(), "hunter2".to_owned())].into(),
            ..ChangeTopicOptions::new("b:1", "t")
        };
        let Err(ChangeTopicError::Options { faults }) = wrong.check() else { panic!("accepted") };
        assert_eq!(faults.len(), 6, "{faults:?}");
        assert!(!format!("{faults:?} {wrong:?}").contains("hunter2"));
    }
}
