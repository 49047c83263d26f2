//! What a topic of change records has to be: a log, not a table of the latest record of each key.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millstream_pipeline::source::SourceError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client;
use super::options::KafkaSourceOptions;
use super::policy::{Verdict, judge};
use super::writer::ChangeTopicError;
use crate::kafka::errors::describe;
use crate::kafka::properties::{is_topic_name, property_fault};

const CLEANUP_POLICY: &str = "cleanup.policy";
const RETENTION_MS: &str = "retention.ms";
const IN_SYNC_MIN: &str = "min.insync.replicas";

/// Our own change topic, for its writer.
#[derive(Clone, PartialEq, Eq)]
pub struct ChangeTopicOptions {
    /// `host:port,host:port`.
    pub bootstrap_servers: String,
    /// Name of the topic. One writer, and nothing else in it.
    pub topic: String,
    /// Partitions, when it is made.
    pub partitions: u32,
    /// Copies of each partition, when it is made.
    pub replication: u32,
    /// Copies that have to have a record before it counts as written, when it is made.
    pub in_sync_min: u32,
    /// For how long records stay, when it is made: for so long a reader may be away.
    pub retention: Duration,
    /// For how long to wait for an answer of the brokers.
    pub answer_timeout: Duration,
    /// More properties of librdkafka: SASL, TLS, compression. Their values are never printed.
    pub properties: BTreeMap<String, String>,
}

impl ChangeTopicOptions {
    /// Options for a topic of one partition and one copy, whose records stay for a week.
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
            faults.push(format!("{:?} is no topic's name", self.topic));
        }
        let counts = 1..=i32::MAX.cast_unsigned();
        if !counts.contains(&self.partitions) || !counts.contains(&self.replication) {
            faults.push("a topic has at least one partition and one copy".to_owned());
        }
        if !(1..=self.replication).contains(&self.in_sync_min) {
            faults.push(format!("{} of {} copies in sync cannot be asked for", self.in_sync_min, self.replication));
        }
        if self.answer_timeout.is_zero() {
            faults.push("answers have to be waited for".to_owned());
        }
        faults.extend(self.properties.keys().filter_map(|name| property_fault(name)));
        if faults.is_empty() { Ok(()) } else { Err(ChangeTopicError::Options { faults }) }
    }
}

/// Names only: any value may be a secret.
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

/// Makes the topic if it is not there. One that is there is left as it is.
pub(super) async fn ensure(
    options: &ChangeTopicOptions,
    config: &rdkafka::ClientConfig,
) -> Result<(), ChangeTopicError> {
    let failed =
        |error: &KafkaError| ChangeTopicError::Unavailable { topic: options.topic.clone(), reason: describe(error) };
    let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(config).map_err(|error| failed(&error))?;
    // `check` of the options keeps both within range.
    let copies = TopicReplication::Fixed(options.replication.cast_signed());
    let (retention_ms, in_sync_min) = (options.retention.as_millis().to_string(), options.in_sync_min.to_string());
    let topic = NewTopic::new(&options.topic, options.partitions.cast_signed(), copies)
        .set(CLEANUP_POLICY, "delete")
        .set(RETENTION_MS, &retention_ms)
        .set(IN_SYNC_MIN, &in_sync_min);
    let limit = AdminOptions::new()
        .request_timeout(Some(options.answer_timeout))
        .operation_timeout(Some(options.answer_timeout));
    let answer = admin.create_topics([&topic], &limit).await.map_err(|error| failed(&error))?;
    match answer.into_iter().next() {
        Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(failed(&KafkaError::AdminOp(code))),
        None => Err(failed(&KafkaError::AdminOp(Code::Fail))),
    }
}

/// Compaction keeps the latest record of a key, but an edit does not make the rename before it void. A topic whose settings
/// may not be asked for is taken as it is.
pub(super) async fn refuse_compacted(options: &KafkaSourceOptions) -> Result<(), Verdict> {
    let asking = format!("asking for the settings of topic {}", options.topic);
    let admin: AdminClient<DefaultClientContext> =
        AdminClient::from_config(&client::admin(options)).map_err(|error| judge(&asking, &error))?;
    let limit = AdminOptions::new().request_timeout(Some(options.answer_timeout));
    let answer = admin.describe_configs([&ResourceSpecifier::Topic(&options.topic)], &limit).await;
    // A broker says what it has against the topic in either place.
    let resource = match answer {
        Ok(described) => described.into_iter().next(),
        Err(error) => Some(Err(error.rdkafka_error_code().unwrap_or(Code::Fail))),
    };
    let resource = match resource {
        Some(Ok(resource)) => resource,
        Some(Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => {
            tracing::warn!(topic = options.topic, "its settings may not be read: make sure that it is not compacted");
            return Ok(());
        }
        // Whoever opens it says that it does not exist yet.
        Some(Err(Code::UnknownTopicOrPartition)) | None => return Ok(()),
        Some(Err(code)) => return Err(judge(&asking, &KafkaError::AdminOp(code))),
    };
    let policy = resource.get(CLEANUP_POLICY).and_then(|entry| entry.value.clone()).unwrap_or_default();
    if !policy.contains("compact") {
        return Ok(());
    }
    Err(Verdict::Stop(SourceError::Refused {
        what: format!("reading topic {}", options.topic),
        detail: format!(
            "its {CLEANUP_POLICY} is {policy}, and compaction forgets changes that are still owed: set it to delete, with \
             a {RETENTION_MS} as long as a reader may be away, then compare all documents"
        ),
    }))
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
