//! Administration of the queue's topics: created, or compared with the expected settings; truncated to the committed
//! offsets; deleted with their lane.

use std::collections::BTreeMap;

use millstream_pipeline::queue::QueueError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::options::{KafkaQueueOptions, TopicNames};
use crate::kafka::client::Observer;
use crate::kafka::errors::{QueueResultExt, describe};

const CHECKING: &str = "checking its topics";
const CLEANUP_POLICY: &str = "cleanup.policy";
const IN_SYNC_MIN: &str = "min.insync.replicas";
/// Work is removed when it is finished, never because of its age or size.
const UNLIMITED_RETENTION: [(&str, &str); 2] = [("retention.ms", "-1"), ("retention.bytes", "-1")];

/// The expected settings of a topic.
struct TopicSpec {
    name: String,
    partitions: u32,
    settings: Vec<(&'static str, String)>,
}

impl TopicSpec {
    fn new(name: &str, partitions: u32, policy: &str, options: &KafkaQueueOptions) -> Self {
        let mut settings = vec![(CLEANUP_POLICY, policy.to_owned()), (IN_SYNC_MIN, options.in_sync_min.to_string())];
        if policy.contains("delete") {
            settings.extend(UNLIMITED_RETENTION.map(|(name, value)| (name, value.to_owned())));
        }
        Self { name: name.to_owned(), partitions, settings }
    }
}

/// Creates or checks the control topic. Returns whether this process created it, which is true for one process only.
pub(super) async fn ensure_control(
    options: &KafkaQueueOptions,
    name: &str,
    observer: &Observer,
) -> Result<bool, QueueError> {
    let created = ensure(options, observer, &[TopicSpec::new(name, 1, "compact", options)]).await?;
    Ok(created > 0)
}

/// Creates or checks the topics of the cache queue. Compacting them would lose work: a later edit does not say that a
/// cascade is still pending (docs/design/rules.md#rule-7).
pub(super) async fn ensure_cache_queue(
    options: &KafkaQueueOptions,
    names: &TopicNames,
    observer: &Observer,
) -> Result<(), QueueError> {
    ensure_pair(options, names, "delete", observer).await
}

/// Creates or checks the topics of a lane. A delivery sends what the cache holds at that time, so the last record of a
/// document is enough, and an outage of any length costs about one record per document.
pub(super) async fn ensure_lane(
    options: &KafkaQueueOptions,
    names: &TopicNames,
    observer: &Observer,
) -> Result<(), QueueError> {
    ensure_pair(options, names, "compact,delete", observer).await
}

async fn ensure_pair(
    options: &KafkaQueueOptions,
    names: &TopicNames,
    policy: &str,
    observer: &Observer,
) -> Result<(), QueueError> {
    let work = TopicSpec::new(&names.work, options.partitions, policy, options);
    let quarantine = TopicSpec::new(&names.quarantine, options.partitions, "compact", options);
    ensure(options, observer, &[work, quarantine]).await.map(|_| ())
}

/// Deletes the topics of a removed lane. A topic that does not exist counts as deleted.
pub(super) async fn delete(
    options: &KafkaQueueOptions,
    names: &TopicNames,
    observer: &Observer,
) -> Result<(), QueueError> {
    let admin = admin(options, observer)?;
    let answers = admin.delete_topics(&[&names.work, &names.quarantine], &limit(options)).await;
    for answer in answers.during("deleting the topics of a lane", observer)? {
        match answer {
            Ok(_) | Err((_, Code::UnknownTopicOrPartition)) => {}
            Err((name, code)) => return Err(incompatible(&name, vec![format!("it cannot be deleted: {code}")])),
        }
    }
    Ok(())
}

/// Truncates partitions of a topic to their committed offsets. Truncation follows commits only, never age or size: records
/// that are not finished stay. A broker that refuses costs disk space only.
pub(super) async fn truncate(
    options: &KafkaQueueOptions,
    observer: &Observer,
    topic: &str,
    offsets: &BTreeMap<i32, i64>,
) -> Result<bool, QueueError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).client_created()?;
    }
    let removed = admin(options, observer)?.delete_records(&list, &limit(options)).await;
    let refused = match removed {
        Ok(removed) => removed.elements().iter().find_map(|element| element.error().err()),
        Err(error) => Some(error),
    };
    if let Some(error) = &refused {
        let problem = observer.explain(&describe(error));
        tracing::warn!(topic, problem, "failed to truncate finished records; retrying later");
    }
    Ok(refused.is_none())
}

/// Creates or checks topics. Returns how many were created.
async fn ensure(options: &KafkaQueueOptions, observer: &Observer, specs: &[TopicSpec]) -> Result<usize, QueueError> {
    let admin = admin(options, observer)?;
    let found = shapes(options, observer).await?;
    let (mut created, mut faults) = (0, Vec::new());
    for spec in specs {
        let differences = match found.iter().find(|found| found.0 == spec.name) {
            None if !options.create_topics => {
                vec!["the topic does not exist: create it, or let Millstream create it".to_owned()]
            }
            None => {
                created += usize::from(create(&admin, options, spec, observer).await?);
                continue;
            }
            Some((_, partitions, copies)) => {
                let mut differences = shape_differences(options, spec, *partitions, *copies);
                differences.extend(setting_differences(&admin, options, spec, observer).await?);
                differences
            }
        };
        faults.extend(differences.into_iter().map(|difference| format!("{}: {difference}", spec.name)));
    }
    observer.answered();
    if faults.is_empty() { Ok(created) } else { Err(incompatible("the topics of the queue", faults)) }
}

/// Returns all topics with their partitions and copies. A query for one topic by its name would create it on brokers
/// with automatic topic creation.
async fn shapes(options: &KafkaQueueOptions, observer: &Observer) -> Result<Vec<(String, usize, usize)>, QueueError> {
    let client: BaseConsumer<Observer> =
        BaseConsumer::from_config_and_context(&options.follower_config(&options.group), observer.clone())
            .client_created()?;
    let timeout = options.answer_timeout;
    let query = tokio::task::spawn_blocking(move || client.fetch_metadata(None, timeout)).await;
    let metadata = query.map_err(|_| QueueError::Closed)?.during(CHECKING, observer)?;
    let shape = metadata.topics().iter().map(|topic| {
        let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
        (topic.name().to_owned(), topic.partitions().len(), copies.unwrap_or(0))
    });
    Ok(shape.collect())
}

/// Creates a topic. Returns false if another process created it first.
async fn create(
    admin: &AdminClient<Observer>,
    options: &KafkaQueueOptions,
    spec: &TopicSpec,
    observer: &Observer,
) -> Result<bool, QueueError> {
    let copies = TopicReplication::Fixed(options.replication.cast_signed());
    let mut topic = NewTopic::new(&spec.name, spec.partitions.cast_signed(), copies);
    for (name, value) in &spec.settings {
        topic = topic.set(name, value);
    }
    let answer = admin.create_topics([&topic], &limit(options)).await.during("creating its topics", observer)?;
    match answer.into_iter().next() {
        Some(Ok(_)) => {
            tracing::info!(topic = spec.name, partitions = spec.partitions, "created a topic of the queue");
            Ok(true)
        }
        // Another process with the same settings was quicker.
        Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(incompatible(&spec.name, vec![format!("it could not be created: {code}")])),
        None => Err(incompatible(&spec.name, vec!["the broker did not say whether it was created".to_owned()])),
    }
}

fn shape_differences(options: &KafkaQueueOptions, spec: &TopicSpec, partitions: usize, copies: usize) -> Vec<String> {
    let mut differences = Vec::new();
    if partitions != spec.partitions as usize {
        let wants = spec.partitions;
        differences.push(format!(
            "it has {partitions} partitions, configured are {wants}: configure {partitions}, or another prefix"
        ));
    }
    if copies != options.replication as usize {
        let wants = options.replication;
        differences.push(format!(
            "it has {copies} copies of a partition, configured are {wants}: reassign, or configure {copies}"
        ));
    }
    differences
}

async fn setting_differences(
    admin: &AdminClient<Observer>,
    options: &KafkaQueueOptions,
    spec: &TopicSpec,
    observer: &Observer,
) -> Result<Vec<String>, QueueError> {
    let topic = ResourceSpecifier::Topic(&spec.name);
    let answer = admin.describe_configs([&topic], &limit(options)).await.during(CHECKING, observer)?;
    let described = match answer.into_iter().next() {
        Some(Ok(described)) => described,
        Some(Err(code)) => return Err(KafkaError::AdminOp(code)).during(CHECKING, observer),
        None => return Ok(vec!["the broker does not describe it".to_owned()]),
    };
    let value = |name| described.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
    let differs = spec.settings.iter().filter(|(name, wants)| !fits(name, &value(name), wants));
    Ok(differs
        .map(|(name, wants)| format!("{name} is {}, it has to be {wants}: alter the topic", value(name)))
        .collect())
}

/// Compares a setting: policies are sets, and more copies in sync than expected are fine.
fn fits(name: &str, has: &str, wants: &str) -> bool {
    let sorted = |list: &str| {
        let mut words: Vec<String> = list.split(',').map(|word| word.trim().to_owned()).collect();
        words.sort();
        words
    };
    match name {
        CLEANUP_POLICY => sorted(has) == sorted(wants),
        IN_SYNC_MIN => has.parse::<u32>().ok() >= wants.parse().ok(),
        _ => has == wants,
    }
}

fn admin(options: &KafkaQueueOptions, observer: &Observer) -> Result<AdminClient<Observer>, QueueError> {
    AdminClient::from_config_and_context(&options.admin_config(), observer.clone()).client_created()
}

fn limit(options: &KafkaQueueOptions) -> AdminOptions {
    let timeout = Some(options.answer_timeout);
    AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
}

fn incompatible(what: &str, differences: Vec<String>) -> QueueError {
    QueueError::Incompatible { what: what.to_owned(), differences }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_a_set_and_more_copies_are_as_good() {
        assert!(fits(CLEANUP_POLICY, "delete,compact", "compact,delete"));
        assert!(!fits(CLEANUP_POLICY, "compact", "compact,delete"));
        assert!(fits(IN_SYNC_MIN, "2", "1") && !fits(IN_SYNC_MIN, "1", "2") && !fits(IN_SYNC_MIN, "", "1"));
        assert!(fits("retention.ms", "-1", "-1") && !fits("retention.ms", "604800000", "-1"));
    }
}
