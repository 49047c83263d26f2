//! The queue's topics: made, or compared with every difference named; and deleted with their lane.

use millstream_pipeline::queue::QueueError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::clients;
use super::names::Names;
use super::options::KafkaQueueOptions;
use crate::kafka::client::Observer;
use crate::kafka::errors::describe;

const CHECKING: &str = "checking its topics";
const CLEANUP_POLICY: &str = "cleanup.policy";
const IN_SYNC_MIN: &str = "min.insync.replicas";
/// Work is removed when it is finished, never because it is old or much.
const KEPT_FOR_EVER: [(&str, &str); 2] = [("retention.ms", "-1"), ("retention.bytes", "-1")];

/// A topic as it has to be.
struct Wanted {
    name: String,
    partitions: u32,
    settings: Vec<(&'static str, String)>,
}

impl Wanted {
    fn new(name: &str, partitions: u32, policy: &str, options: &KafkaQueueOptions) -> Self {
        let mut settings = vec![(CLEANUP_POLICY, policy.to_owned()), (IN_SYNC_MIN, options.in_sync_min.to_string())];
        if policy.contains("delete") {
            settings.extend(KEPT_FOR_EVER.map(|(name, value)| (name, value.to_owned())));
        }
        Self { name: name.to_owned(), partitions, settings }
    }
}

/// Makes sure of the topic of epoch, position and lanes. Answers whether it was made just now, which is true for one
/// process only.
pub(super) async fn ensure_control(
    options: &KafkaQueueOptions,
    name: &str,
    observer: &Observer,
) -> Result<bool, QueueError> {
    let made = ensure(options, observer, &[Wanted::new(name, 1, "compact", options)]).await?;
    Ok(made > 0)
}

/// Makes sure of the topics of the stage. Compacting its work would lose obligations: a later edit does not say that a
/// cascade is still owed (docs/design/rules.md#rule-7).
pub(super) async fn ensure_stage(
    options: &KafkaQueueOptions,
    names: &Names,
    observer: &Observer,
) -> Result<(), QueueError> {
    ensure_pair(options, names, "delete", observer).await
}

/// Makes sure of the topics of a lane. What is delivered is what the cache holds at that time, so the last record of a
/// document says enough, and an outage of any length costs about one record a document.
pub(super) async fn ensure_lane(
    options: &KafkaQueueOptions,
    names: &Names,
    observer: &Observer,
) -> Result<(), QueueError> {
    ensure_pair(options, names, "compact,delete", observer).await
}

async fn ensure_pair(
    options: &KafkaQueueOptions,
    names: &Names,
    policy: &str,
    observer: &Observer,
) -> Result<(), QueueError> {
    let work = Wanted::new(&names.work, options.partitions, policy, options);
    let quarantine = Wanted::new(&names.quarantine, options.partitions, "compact", options);
    ensure(options, observer, &[work, quarantine]).await.map(|_| ())
}

/// Deletes the topics of a lane that was removed. What is not there is deleted.
pub(super) async fn delete(options: &KafkaQueueOptions, names: &Names, observer: &Observer) -> Result<(), QueueError> {
    let admin = admin(options, observer)?;
    let answers = admin.delete_topics(&[&names.work, &names.quarantine], &limit(options)).await;
    for answer in answers.map_err(unavailable("deleting the topics of a lane", observer))? {
        match answer {
            Ok(_) | Err((_, Code::UnknownTopicOrPartition)) => {}
            Err((name, code)) => return Err(unfit(&name, vec![format!("it cannot be deleted: {code}")])),
        }
    }
    Ok(())
}

/// Answers how many were made.
async fn ensure(options: &KafkaQueueOptions, observer: &Observer, wanted: &[Wanted]) -> Result<usize, QueueError> {
    let admin = admin(options, observer)?;
    let found = shapes(options, observer).await?;
    let (mut made, mut faults) = (0, Vec::new());
    for wanted in wanted {
        let differences = match found.iter().find(|found| found.0 == wanted.name) {
            None if !options.create_topics => {
                vec!["there is no such topic: make it, or let Millstream make it".to_owned()]
            }
            None => {
                made += usize::from(create(&admin, options, wanted, observer).await?);
                continue;
            }
            Some((_, partitions, copies)) => {
                let mut differences = shape_differences(options, wanted, *partitions, *copies);
                differences.extend(setting_differences(&admin, options, wanted, observer).await?);
                differences
            }
        };
        faults.extend(differences.into_iter().map(|difference| format!("{}: {difference}", wanted.name)));
    }
    observer.answered();
    if faults.is_empty() { Ok(made) } else { Err(unfit("the topics of the queue", faults)) }
}

/// All topics with their partitions and copies. Asking for one by its name makes it on brokers that do so.
async fn shapes(options: &KafkaQueueOptions, observer: &Observer) -> Result<Vec<(String, usize, usize)>, QueueError> {
    let asker: BaseConsumer<Observer> =
        BaseConsumer::from_config_and_context(&clients::follower(options, &options.group), observer.clone())
            .map_err(unusable)?;
    let timeout = options.answer_timeout;
    let asked = tokio::task::spawn_blocking(move || asker.fetch_metadata(None, timeout)).await;
    let metadata = asked.map_err(|_| QueueError::Closed)?.map_err(unavailable(CHECKING, observer))?;
    let shape = metadata.topics().iter().map(|topic| {
        let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
        (topic.name().to_owned(), topic.partitions().len(), copies.unwrap_or(0))
    });
    Ok(shape.collect())
}

/// Answers whether it was us who made it.
async fn create(
    admin: &AdminClient<Observer>,
    options: &KafkaQueueOptions,
    wanted: &Wanted,
    observer: &Observer,
) -> Result<bool, QueueError> {
    let copies = TopicReplication::Fixed(options.replication.cast_signed());
    let mut topic = NewTopic::new(&wanted.name, wanted.partitions.cast_signed(), copies);
    for (name, value) in &wanted.settings {
        topic = topic.set(name, value);
    }
    let answer =
        admin.create_topics([&topic], &limit(options)).await.map_err(unavailable("making its topics", observer))?;
    match answer.into_iter().next() {
        Some(Ok(_)) => {
            tracing::info!(topic = wanted.name, partitions = wanted.partitions, "made a topic of the queue");
            Ok(true)
        }
        // Another of us was quicker; it made the same.
        Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(unfit(&wanted.name, vec![format!("it could not be made: {code}")])),
        None => Err(unfit(&wanted.name, vec!["the broker did not say whether it was made".to_owned()])),
    }
}

fn shape_differences(options: &KafkaQueueOptions, wanted: &Wanted, partitions: usize, copies: usize) -> Vec<String> {
    let mut differences = Vec::new();
    if partitions != wanted.partitions as usize {
        let wants = wanted.partitions;
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
    wanted: &Wanted,
    observer: &Observer,
) -> Result<Vec<String>, QueueError> {
    let topic = ResourceSpecifier::Topic(&wanted.name);
    let answer = admin.describe_configs([&topic], &limit(options)).await.map_err(unavailable(CHECKING, observer))?;
    let described = match answer.into_iter().next() {
        Some(Ok(described)) => described,
        Some(Err(code)) => return Err(unavailable(CHECKING, observer)(KafkaError::AdminOp(code))),
        None => return Ok(vec!["the broker does not describe it".to_owned()]),
    };
    let value = |name| described.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
    let differs = wanted.settings.iter().filter(|(name, wants)| !fits(name, &value(name), wants));
    Ok(differs
        .map(|(name, wants)| format!("{name} is {}, it has to be {wants}: alter the topic", value(name)))
        .collect())
}

/// Policies are sets; more copies in sync are as good.
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

pub(super) fn admin(options: &KafkaQueueOptions, observer: &Observer) -> Result<AdminClient<Observer>, QueueError> {
    AdminClient::from_config_and_context(&clients::admin(options), observer.clone()).map_err(unusable)
}

pub(super) fn limit(options: &KafkaQueueOptions) -> AdminOptions {
    let timeout = Some(options.answer_timeout);
    AdminOptions::new().request_timeout(timeout).operation_timeout(timeout)
}

/// Nothing was asked yet: what the client was told is not right.
pub(super) fn unusable(error: KafkaError) -> QueueError {
    unfit("the way to the brokers", vec![format!("no client can be made: {}", describe(&error))])
}

pub(super) fn unavailable(action: &'static str, observer: &Observer) -> impl FnOnce(KafkaError) -> QueueError {
    move |error| QueueError::Unavailable { action, detail: observer.explain(&describe(&error)) }
}

fn unfit(what: &str, differences: Vec<String>) -> QueueError {
    QueueError::Unfit { what: what.to_owned(), differences }
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
