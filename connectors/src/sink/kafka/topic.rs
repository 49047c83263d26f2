//! The topic with the contract's settings: created, or compared with every difference listed.

use std::time::Duration;

use millstream_pipeline::sink::SinkError;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::clients;
use super::options::KafkaOptions;
use crate::kafka::client::{self, Observer};
use crate::kafka::errors::describe;

/// The properties of a topic that the contract specifies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TopicShape {
    partitions: usize,
    replication: usize,
    settings: Vec<(&'static str, String)>,
}

const CLEANUP_POLICY: &str = "cleanup.policy";
const DELETE_RETENTION: &str = "delete.retention.ms";
const IN_SYNC_MIN: &str = "min.insync.replicas";
const MESSAGE_BYTES_MAX: &str = "max.message.bytes";

fn wanted(options: &KafkaOptions) -> TopicShape {
    TopicShape {
        partitions: options.partitions as usize,
        replication: options.replication as usize,
        settings: vec![
            (CLEANUP_POLICY, "compact".to_owned()),
            (DELETE_RETENTION, options.delete_retention.as_millis().to_string()),
            (IN_SYNC_MIN, options.in_sync_min.to_string()),
            (MESSAGE_BYTES_MAX, options.record_bytes_max.to_string()),
        ],
    }
}

/// Creates the topic if it is missing and may be created; otherwise compares it and lists every difference.
pub(super) async fn ensure(options: &KafkaOptions, observer: &Observer, sink: &str) -> Result<(), SinkError> {
    let admin = AdminClient::from_config_and_context(&clients::admin(options), observer.clone());
    let admin = admin.map_err(|error| unusable(sink, &error))?;
    let wanted = wanted(options);
    let found = match partitions(options, observer, sink).await? {
        Some(found) => found,
        None if !options.create_topic => {
            return Err(incompatible(
                sink,
                vec!["the topic does not exist: create it, or let Millstream create it".to_owned()],
            ));
        }
        None => return create(&admin, options, &wanted, observer, sink).await,
    };
    let settings = settings(&admin, options, observer, sink).await?;
    observer.answered();
    let differences = differences(&wanted, &TopicShape { settings, ..found });
    if differences.is_empty() { Ok(()) } else { Err(incompatible(sink, differences)) }
}

/// Fetches partitions and replicas; `None` if the topic does not exist. Requests the metadata of all topics: a request
/// for one name creates the topic on brokers with auto-creation. Uses a reader because an admin client does not report
/// why brokers do not respond.
async fn partitions(options: &KafkaOptions, observer: &Observer, sink: &str) -> Result<Option<TopicShape>, SinkError> {
    let reader: BaseConsumer<Observer> =
        BaseConsumer::from_config_and_context(&clients::reader(options), observer.clone())
            .map_err(|error| unusable(sink, &error))?;
    let timeout = options.answer_timeout;
    let request = tokio::task::spawn_blocking(move || {
        let metadata = reader.fetch_metadata(None, timeout);
        if metadata.is_err() {
            client::poll_errors(|| drop(reader.poll(Duration::ZERO)));
        }
        metadata
    });
    let stopped = |error| SinkError::Broken { sink: sink.to_owned(), reason: format!("the request stopped: {error}") };
    let metadata = request.await.map_err(stopped)?.map_err(|error| unavailable(sink, observer, &error))?;
    let found = metadata.topics().iter().find(|found| found.name() == options.topic);
    Ok(found.map(|found| TopicShape {
        partitions: found.partitions().len(),
        replication: found.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
        settings: Vec::new(),
    }))
}

async fn settings(
    admin: &AdminClient<Observer>,
    options: &KafkaOptions,
    observer: &Observer,
    sink: &str,
) -> Result<Vec<(&'static str, String)>, SinkError> {
    let limit = AdminOptions::new().request_timeout(Some(options.answer_timeout));
    let topic = ResourceSpecifier::Topic(&options.topic);
    let response =
        admin.describe_configs([&topic], &limit).await.map_err(|error| unavailable(sink, observer, &error))?;
    let resource: ConfigResource = match response.into_iter().next() {
        Some(Ok(resource)) => resource,
        Some(Err(code)) => return Err(unavailable(sink, observer, &KafkaError::AdminOp(code))),
        None => {
            let reason = "the description of the topic is missing in the response".to_owned();
            return Err(SinkError::Broken { sink: sink.to_owned(), reason });
        }
    };
    let value = |name| resource.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
    let names = [CLEANUP_POLICY, DELETE_RETENTION, IN_SYNC_MIN, MESSAGE_BYTES_MAX];
    Ok(names.map(|name| (name, value(name))).into())
}

async fn create(
    admin: &AdminClient<Observer>,
    options: &KafkaOptions,
    wanted: &TopicShape,
    observer: &Observer,
    sink: &str,
) -> Result<(), SinkError> {
    // `check` of the options keeps both within range.
    let replication = TopicReplication::Fixed(options.replication.cast_signed());
    let mut topic = NewTopic::new(&options.topic, options.partitions.cast_signed(), replication);
    for (name, value) in &wanted.settings {
        topic = topic.set(name, value);
    }
    let limit = AdminOptions::new()
        .request_timeout(Some(options.answer_timeout))
        .operation_timeout(Some(options.answer_timeout));
    let response = admin.create_topics([&topic], &limit).await.map_err(|error| unavailable(sink, observer, &error))?;
    match response.into_iter().next() {
        // Another process may have created it first, with the same settings.
        Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => {
            tracing::info!(topic = options.topic, partitions = options.partitions, "created the documents topic");
            observer.answered();
            Ok(())
        }
        Some(Err((_, code))) if is_refusal(code) => {
            Err(incompatible(sink, vec![format!("the topic cannot be created: {code}")]))
        }
        Some(Err((_, code))) => Err(unavailable(sink, observer, &KafkaError::AdminOp(code))),
        None => Err(SinkError::Broken {
            sink: sink.to_owned(),
            reason: "the result of the creation is missing in the response".to_owned(),
        }),
    }
}

fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidReplicationFactor
            | Code::InvalidPartitions
            | Code::InvalidConfig
            | Code::PolicyViolation
            | Code::InvalidTopic
            | Code::ClusterAuthorizationFailed
            | Code::TopicAuthorizationFailed
    )
}

/// Lists the relevant differences, with their remedies.
fn differences(wanted: &TopicShape, found: &TopicShape) -> Vec<String> {
    let mut differences = Vec::new();
    if found.partitions != wanted.partitions {
        let (has, wants) = (found.partitions, wanted.partitions);
        differences.push(format!(
            "it has {has} partitions, but {wants} are configured: configure {has}, or start a new generation of the topic"
        ));
    }
    if found.replication != wanted.replication {
        let (has, wants) = (found.replication, wanted.replication);
        differences.push(format!("it has {has} replicas, but {wants} are configured: reassign, or configure {has}"));
    }
    for ((name, wants), (_, has)) in wanted.settings.iter().zip(&found.settings) {
        if !fits(name, has, wants) {
            let least = if is_minimum(name) { "at least " } else { "" };
            differences.push(format!("{name} is {has}, but must be {least}{wants}: alter the topic"));
        }
    }
    differences
}

/// Returns whether the configured value is a minimum: longer tombstone retention, larger records and more replicas in
/// sync are fine.
fn is_minimum(name: &str) -> bool {
    name != CLEANUP_POLICY
}

fn fits(name: &str, has: &str, wants: &str) -> bool {
    if !is_minimum(name) {
        return has == wants;
    }
    match (has.parse::<u128>(), wants.parse::<u128>()) {
        (Ok(has), Ok(wants)) => has >= wants,
        _ => false,
    }
}

fn incompatible(sink: &str, differences: Vec<String>) -> SinkError {
    SinkError::Incompatible { sink: sink.to_owned(), differences }
}

/// The error of a client that cannot be created: its configuration is invalid.
pub(super) fn unusable(sink: &str, error: &KafkaError) -> SinkError {
    incompatible(sink, vec![format!("the client cannot be created: {}", describe(error))])
}

pub(super) fn unavailable(sink: &str, observer: &Observer, error: &KafkaError) -> SinkError {
    SinkError::Unavailable { sink: sink.to_owned(), reason: observer.explain(&describe(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_as_good_and_less_is_named() {
        let options = KafkaOptions { partitions: 3, ..KafkaOptions::new("b", "t", Vec::new()) };
        let wanted = wanted(&options);
        assert_eq!(differences(&wanted, &wanted), Vec::<String>::new());
        let more = |name, value: &str| match name {
            CLEANUP_POLICY => value.to_owned(),
            _ => format!("{value}0"),
        };
        let settings = wanted.settings.iter().map(|(name, value)| (*name, more(name, value))).collect();
        assert_eq!(differences(&wanted, &TopicShape { settings, ..wanted.clone() }), Vec::<String>::new());
        let settings = wanted.settings.iter().map(|(name, _)| (*name, "0".to_owned())).collect();
        let nothing = TopicShape { partitions: 1, replication: 2, settings };
        assert_eq!(differences(&wanted, &nothing).len(), 6);
    }
}
