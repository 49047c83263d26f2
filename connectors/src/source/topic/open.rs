//! Where to begin: from the stored position and the group's committed offsets to an offset for each partition.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Observer, Shared};
use super::ledger::Offsets;
use super::options::KafkaSourceOptions;
use super::policy::{Verdict, judge};
use super::topic;
use crate::kafka::client::hear;

/// A consumer that reads, and where it is.
pub(super) struct Opened {
    pub(super) consumer: StreamConsumer<Observer>,
    pub(super) next: Offsets,
}

/// What a topic has, by partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: Offsets,
    pub(super) end: Offsets,
}

/// Opens the topic where `stored` says.
pub(super) async fn open(
    options: Arc<KafkaSourceOptions>,
    shared: Arc<Shared>,
    stored: Position,
) -> Result<Opened, Verdict> {
    let (asking, asked_for) = (Arc::clone(&options), Arc::clone(&shared));
    let asked = tokio::task::spawn_blocking(move || {
        let consumer = consumer(&asking, Arc::clone(&asked_for))?;
        let found = find(&consumer, &asking, stored);
        match found {
            Ok(next) => Ok(Opened { consumer, next }),
            Err(verdict) => {
                client::close(consumer);
                Err(explain(verdict, &asked_for))
            }
        }
    });
    let stopped = |error| Err(Verdict::Retry(format!("the questions to the brokers stopped: {error}")));
    let opened = asked.await.unwrap_or_else(stopped)?;
    let fit = match topic::refuse_compacted(&options).await {
        Ok(()) => assign(&opened.consumer, &options, &opened.next),
        unfit => unfit,
    };
    if let Err(verdict) = fit {
        client::close(opened.consumer);
        return Err(verdict);
    }
    Ok(opened)
}

/// The offsets to begin at. Blocks.
fn find(
    consumer: &StreamConsumer<Observer>,
    options: &KafkaSourceOptions,
    stored: Position,
) -> Result<Offsets, Verdict> {
    let found = extent(consumer, options);
    if found.is_err() {
        hear(|| drop(consumer.recv().now_or_never()));
    }
    let Some(extent) = found? else {
        return Err(Verdict::Retry(format!("topic {} does not exist yet", options.topic)));
    };
    let committed = committed(consumer, options, &extent.end)?;
    begin(options, stored, &extent, &committed).map_err(Verdict::Stop)
}

/// A timeout says little; what the client reported by itself says why.
pub(super) fn explain(verdict: Verdict, shared: &Shared) -> Verdict {
    match (verdict, shared.take_heard()) {
        (Verdict::Retry(reason), Some(heard)) => Verdict::Retry(format!("{reason} ({heard})")),
        (verdict, _) => verdict,
    }
}

/// Reads on at these offsets.
pub(super) fn assign(
    consumer: &StreamConsumer<Observer>,
    options: &KafkaSourceOptions,
    next: &Offsets,
) -> Result<(), Verdict> {
    let assigned = client::list(&options.topic, next).and_then(|list| consumer.assign(&list));
    assigned.map_err(|error| judge(&reading(options), &error))
}

pub(super) fn consumer(options: &KafkaSourceOptions, shared: Arc<Shared>) -> Result<StreamConsumer<Observer>, Verdict> {
    StreamConsumer::from_config_and_context(&client::reader(options), Observer(shared))
        .map_err(|error| judge(&reading(options), &error))
}

/// What the topic has; `None` if it does not exist. Asks about all topics, as asking for one by its name makes it on
/// brokers that do so. Blocks.
pub(super) fn extent(
    consumer: &impl Consumer<Observer>,
    options: &KafkaSourceOptions,
) -> Result<Option<Extent>, Verdict> {
    let (name, timeout) = (options.topic.as_str(), options.answer_timeout);
    let failed = |error: KafkaError| judge(&reading(options), &error);
    let metadata = consumer.fetch_metadata(None, timeout).map_err(failed)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(None) };
    let mut extent = Extent { first: Offsets::default(), end: Offsets::default() };
    for partition in topic.partitions() {
        let (first, end) = consumer.fetch_watermarks(name, partition.id(), timeout).map_err(failed)?;
        extent.first.set(partition.id(), first);
        extent.end.set(partition.id(), end);
    }
    Ok(if extent.end.len() == 0 { None } else { Some(extent) })
}

/// What was committed for the group. Blocks.
fn committed(
    consumer: &StreamConsumer<Observer>,
    options: &KafkaSourceOptions,
    partitions: &Offsets,
) -> Result<Offsets, Verdict> {
    let timeout: Duration = options.answer_timeout;
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (partition, _) in partitions.iter() {
        let added = list.add_partition_offset(&options.topic, partition, Offset::Invalid);
        added.map_err(|error| judge(&reading(options), &error))?;
    }
    let asked = consumer.committed_offsets(list, timeout);
    let list = asked.map_err(|error| judge(&format!("asking for the offsets of group {}", options.group), &error))?;
    Ok(client::offsets(&list))
}

pub(super) fn reading(options: &KafkaSourceOptions) -> String {
    format!("reading topic {}", options.topic)
}

/// The offsets that `stored` stands for; see `ledger` for what a position is.
fn begin(
    options: &KafkaSourceOptions,
    stored: Position,
    extent: &Extent,
    committed: &Offsets,
) -> Result<Offsets, SourceError> {
    let next: Offsets = match extent.end.iter().next() {
        Some((partition, _)) if extent.end.len() == 1 => [(partition, stored.lsn.cast_signed())].into_iter().collect(),
        _ if stored == Position::ZERO => extent.end.iter().map(|(partition, _)| (partition, 0)).collect(),
        _ if committed.len() == 0 => {
            return Err(SourceError::Lost {
                what: format!("the bookmark of group {} in topic {}", options.group, options.topic),
                detail: format!(
                    "changes are stored up to {stored}, but the brokers hold no offsets of the group: they expired, were \
                     deleted, or the group is called otherwise now"
                ),
            });
        }
        // A partition without an offset was added since, or has brought nothing yet.
        _ => extent.end.iter().map(|(partition, _)| (partition, committed.get(partition).unwrap_or(0))).collect(),
    };
    if extent.end.len() > 1 && next.sum() > stored.lsn {
        return Err(SourceError::Gap { stored, resumes: Position::before(next.sum()) });
    }
    for (partition, next) in next.iter() {
        let (first, end) = (extent.first.get(partition).unwrap_or(0), extent.end.get(partition).unwrap_or(0));
        let detail = if next < first {
            format!(
                "the next record would be {next}, but the first one left is {first}: retention has deleted what was never \
                 stored here. Give the topic a longer retention"
            )
        } else if next > end || next < 0 {
            format!("the next record would be {next}, but the partition ends at {end}: the topic was made anew")
        } else {
            continue;
        };
        return Err(SourceError::Lost { what: format!("partition {partition} of topic {}", options.topic), detail });
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::super::form::RecordForm;
    use super::*;

    fn offsets(next: &[i64]) -> Offsets {
        (0..).zip(next.iter().copied()).collect()
    }

    fn begin_at(stored: Position, first: &[i64], end: &[i64], committed: &Offsets) -> Result<Offsets, SourceError> {
        let options = KafkaSourceOptions::new("b:1", "t", "g", RecordForm::Millstream);
        begin(&options, stored, &Extent { first: offsets(first), end: offsets(end) }, committed)
    }

    #[test]
    fn one_partition_needs_no_group() {
        let nothing = Offsets::default();
        let begins = |stored| begin_at(Position::before(stored), &[3], &[9], &nothing);
        assert_eq!(begins(5).expect("begins"), offsets(&[5]));
        assert_eq!(begins(9).expect("begins"), offsets(&[9]));
        for (lost, word) in [(2, "retention"), (10, "anew"), (0, "retention")] {
            let error = begins(lost).expect_err("lost");
            assert!(matches!(&error, SourceError::Lost { .. }) && error.to_string().contains(word), "{error}");
        }
        let committed = offsets(&[8]);
        let begun = begin_at(Position::before(5), &[3], &[9], &committed);
        assert_eq!(begun.expect("begins"), offsets(&[5]), "the records are there, so they are read");
    }

    #[test]
    fn several_partitions_begin_where_the_group_was() {
        let stored = Position::before(10);
        let begins = |committed: &[i64]| begin_at(stored, &[0, 0, 0], &[9, 9, 9], &offsets(committed));
        assert_eq!(begins(&[4, 6]).expect("begins"), offsets(&[4, 6, 0]), "a new partition from its beginning");
        assert_eq!(begins(&[4, 1, 2]).expect("begins"), offsets(&[4, 1, 2]), "what comes again does no harm");
        let error = begins(&[4, 6, 1]).expect_err("a gap");
        assert!(matches!(error, SourceError::Gap { resumes, .. } if resumes == Position::before(11)), "{error}");
        let error = begin_at(stored, &[0, 0], &[9, 9], &Offsets::default()).expect_err("lost");
        assert!(matches!(&error, SourceError::Lost { what, .. } if what.contains("group g")), "{error}");
        let error = begin_at(stored, &[0, 5], &[9, 9], &offsets(&[6, 4])).expect_err("lost");
        assert!(matches!(&error, SourceError::Lost { what, .. } if what.contains("partition 1")), "{error}");
        let error = begin_at(stored, &[0, 0], &[9, 3], &offsets(&[6, 4])).expect_err("lost");
        assert!(error.needs_recovery() && error.to_string().contains("anew"), "{error}");
    }

    #[test]
    fn who_has_nothing_begins_with_the_first_record_there_ever_was() {
        let committed = Offsets::default();
        let begun = begin_at(Position::ZERO, &[0, 0], &[9, 9], &committed);
        assert_eq!(begun.expect("begins"), offsets(&[0, 0]));
        assert!(begin_at(Position::ZERO, &[0, 1], &[9, 9], &committed).is_err());
    }
}
