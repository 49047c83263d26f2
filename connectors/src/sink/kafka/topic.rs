//! The topic as the contract wants it: made, or compared with every difference named.

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

/// What a topic is, as far as the contract cares.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shape {
    partitions: usize,
    replication: usize,
    settings: Vec<(&'static str, String)>,
}

const CLEANUP_POLICY: &str = "cleanup.policy";
const DELETE_RETENTION: &str = "delete.retention.ms";
const IN_SYNC_MIN: &str = "min.insync.replicas";
const MESSAGE_BYTES_MAX: &str = "max.message.bytes";

fn wanted(options: &KafkaOptions) -> Shape {
    Shape {
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

/// Makes the topic if it is not there and may be made, and names every difference if it is there.
pub(super) async fn ensure(options: &KafkaOptions, observer: &Observer, sink: &str) -> Result<(), SinkError> {
    let admin = AdminClient::from_config_and_context(&clients::admin(options), observer.clone());
    let admin = admin.map_err(|error| unusable(sink, &error))?;
    let wanted = wanted(options);
    let found = match partitions(options, observer, sink).await? {
        Some(found) => found,
        None if !options.create_topic => {
            return Err(unfit(sink, vec!["there is no such topic: make it, or let Millstream make it".to_owned()]));
        }
        None => return create(&admin, options, &wanted, observer, sink).await,
    };
    let settings = settings(&admin, options, observer, sink).await?;
    observer.answered();
    let differences = differences(&wanted, &Shape { settings, ..found });
    if differences.is_empty() { Ok(()) } else { Err(unfit(sink, differences)) }
}

/// Partitions and copies; `None` if there is no such topic. Asks about all topics, as asking for one by its name makes it
/// on brokers that do so. A reader asks, as an admin client keeps to itself why nobody answers.
async fn partitions(options: &KafkaOptions, observer: &Observer, sink: &str) -> Result<Option<Shape>, SinkError> {
    let reader: BaseConsumer<Observer> =
        BaseConsumer::from_config_and_context(&clients::reader(options), observer.clone())
            .map_err(|error| unusable(sink, &error))?;
    let timeout = options.answer_timeout;
    let asked = tokio::task::spawn_blocking(move || {
        let metadata = reader.fetch_metadata(None, timeout);
        if metadata.is_err() {
            client::hear(|| drop(reader.poll(Duration::ZERO)));
        }
        metadata
    });
    let stopped = |error| SinkError::Broken { sink: sink.to_owned(), reason: format!("the question stopped: {error}") };
    let metadata = asked.await.map_err(stopped)?.map_err(|error| unavailable(sink, observer, &error))?;
    let found = metadata.topics().iter().find(|found| found.name() == options.topic);
    Ok(found.map(|found| Shape {
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
    let answer = admin.describe_configs([&topic], &limit).await.map_err(|error| unavailable(sink, observer, &error))?;
    let resource: ConfigResource = match answer.into_iter().next() {
        Some(Ok(resource)) => resource,
        Some(Err(code)) => return Err(unavailable(sink, observer, &KafkaError::AdminOp(code))),
        None => {
            let reason = "it describes no topic when asked for one".to_owned();
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
    wanted: &Shape,
    observer: &Observer,
    sink: &str,
) -> Result<(), SinkError> {
    // `check` of the options keeps both within range.
    let copies = TopicReplication::Fixed(options.replication.cast_signed());
    let mut topic = NewTopic::new(&options.topic, options.partitions.cast_signed(), copies);
    for (name, value) in &wanted.settings {
        topic = topic.set(name, value);
    }
    let limit = AdminOptions::new()
        .request_timeout(Some(options.answer_timeout))
        .operation_timeout(Some(options.answer_timeout));
    let answer = admin.create_topics([&topic], &limit).await.map_err(|error| unavailable(sink, observer, &error))?;
    match answer.into_iter().next() {
        // Another of us may have been quicker; it made the same.
        Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => {
            tracing::info!(topic = options.topic, partitions = options.partitions, "made the documents topic");
            observer.answered();
            Ok(())
        }
        Some(Err((_, code))) if is_refusal(code) => Err(unfit(sink, vec![format!("it could not be made: {code}")])),
        Some(Err((_, code))) => Err(unavailable(sink, observer, &KafkaError::AdminOp(code))),
        None => {
            Err(SinkError::Broken { sink: sink.to_owned(), reason: "it did not say whether it was made".to_owned() })
        }
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

/// Every difference that matters, with what to do.
fn differences(wanted: &Shape, found: &Shape) -> Vec<String> {
    let mut differences = Vec::new();
    if found.partitions != wanted.partitions {
        let (has, wants) = (found.partitions, wanted.partitions);
        differences.push(format!(
            "it has {has} partitions, configured are {wants}: configure {has}, or begin a new generation of the topic"
        ));
    }
    if found.replication != wanted.replication {
        let (has, wants) = (found.replication, wanted.replication);
        differences
            .push(format!("it has {has} copies of a partition, configured are {wants}: reassign, or configure {has}"));
    }
    for ((name, wants), (_, has)) in wanted.settings.iter().zip(&found.settings) {
        if !fits(name, has, wants) {
            let least = if is_least(name) { "at least " } else { "" };
            differences.push(format!("{name} is {has}, it has to be {least}{wants}: alter the topic"));
        }
    }
    differences
}

/// More is as good: tombstones that stay longer, larger records, more copies in sync.
fn is_least(name: &str) -> bool {
    name != CLEANUP_POLICY
}

fn fits(name: &str, has: &str, wants: &str) -> bool {
    if !is_least(name) {
        return has == wants;
    }
    match (has.parse::<u128>(), wants.parse::<u128>()) {
        (Ok(has), Ok(wants)) => has >= wants,
        _ => false,
    }
}

fn unfit(sink: &str, differences: Vec<String>) -> SinkError {
    SinkError::Unfit { sink: sink.to_owned(), differences }
}

/// Nothing was asked yet: what the client was told is not right.
pub(super) fn unusable(sink: &str, error: &KafkaError) -> SinkError {
    unfit(sink, vec![format!("no client can be made: {}", describe(error))])
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
        assert_eq!(differences(&wanted, &Shape { settings, ..wanted.clone() }), Vec::<String>::new());
        let settings = wanted.settings.iter().map(|(name, _)| (*name, "0".to_owned())).collect();
        let nothing = Shape { partitions: 1, replication: 2, settings };
        assert_eq!(differences(&wanted, &nothing).len(), 6);
    }
}
