//! Opening a topic: derives the offset of each partition from the stored position and the group's committed offsets.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, ReaderContext, ReaderState};
use super::compaction;
use super::errors::classify;
use super::ledger::Offsets;
use super::options::KafkaSourceOptions;
use crate::kafka::client::poll_errors;
use crate::source::failure::SourceFailure;

/// An assigned consumer, and its next offsets.
pub(super) struct TopicReader {
    pub(super) consumer: StreamConsumer<ReaderContext>,
    pub(super) next: Offsets,
}

/// First and end offsets of a topic, by partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicExtent {
    pub(super) first: Offsets,
    pub(super) end: Offsets,
}

/// Opens the topic at `stored`.
pub(super) async fn open(
    options: Arc<KafkaSourceOptions>,
    state: Arc<ReaderState>,
    stored: Position,
) -> Result<TopicReader, SourceFailure> {
    let (own_options, own_state) = (Arc::clone(&options), Arc::clone(&state));
    let opening = tokio::task::spawn_blocking(move || {
        let consumer = consumer(&own_options, Arc::clone(&own_state))?;
        let found = find(&consumer, &own_options, stored);
        match found {
            Ok(next) => Ok(TopicReader { consumer, next }),
            Err(failure) => {
                client::close(consumer);
                Err(explain(failure, &own_state))
            }
        }
    });
    let stopped = |error| Err(SourceFailure::Retry(format!("the requests to the brokers stopped: {error}")));
    let opened = opening.await.unwrap_or_else(stopped)?;
    let assigned = match compaction::check(&options).await {
        Ok(()) => assign(&opened.consumer, &options, &opened.next),
        refused => refused,
    };
    if let Err(failure) = assigned {
        client::close(opened.consumer);
        return Err(failure);
    }
    Ok(opened)
}

/// Finds the offsets to begin at. Blocks.
fn find(
    consumer: &StreamConsumer<ReaderContext>,
    options: &KafkaSourceOptions,
    stored: Position,
) -> Result<Offsets, SourceFailure> {
    let found = extent(consumer, options);
    if found.is_err() {
        poll_errors(|| drop(consumer.recv().now_or_never()));
    }
    let Some(extent) = found? else {
        return Err(SourceFailure::Retry(format!("topic {} does not exist yet", options.topic)));
    };
    let committed = committed(consumer, options, &extent.end)?;
    begin(options, stored, &extent, &committed).map_err(SourceFailure::Stop)
}

/// Adds the last error that the client reported by callback: a timeout alone does not name the cause.
pub(super) fn explain(failure: SourceFailure, state: &ReaderState) -> SourceFailure {
    match (failure, state.take_last_report()) {
        (SourceFailure::Retry(reason), Some(report)) => SourceFailure::Retry(format!("{reason} ({report})")),
        (failure, _) => failure,
    }
}

/// Assigns all partitions at these offsets.
pub(super) fn assign(
    consumer: &StreamConsumer<ReaderContext>,
    options: &KafkaSourceOptions,
    next: &Offsets,
) -> Result<(), SourceFailure> {
    let assigned = client::list(&options.topic, next).and_then(|list| consumer.assign(&list));
    assigned.map_err(|error| classify(&reading(options), &error))
}

pub(super) fn consumer(
    options: &KafkaSourceOptions,
    state: Arc<ReaderState>,
) -> Result<StreamConsumer<ReaderContext>, SourceFailure> {
    StreamConsumer::from_config_and_context(&client::reader(options), ReaderContext(state))
        .map_err(|error| classify(&reading(options), &error))
}

/// Fetches the topic's watermarks; `None` if it does not exist. Requests the metadata of all topics: a request for one
/// name creates the topic on brokers with auto-creation. Blocks.
pub(super) fn extent(
    consumer: &impl Consumer<ReaderContext>,
    options: &KafkaSourceOptions,
) -> Result<Option<TopicExtent>, SourceFailure> {
    let (name, timeout) = (options.topic.as_str(), options.answer_timeout);
    let failed = |error: KafkaError| classify(&reading(options), &error);
    let metadata = consumer.fetch_metadata(None, timeout).map_err(failed)?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(None) };
    let mut extent = TopicExtent { first: Offsets::default(), end: Offsets::default() };
    for partition in topic.partitions() {
        let (first, end) = consumer.fetch_watermarks(name, partition.id(), timeout).map_err(failed)?;
        extent.first.set(partition.id(), first);
        extent.end.set(partition.id(), end);
    }
    Ok(if extent.end.len() == 0 { None } else { Some(extent) })
}

/// Fetches the group's committed offsets. Blocks.
fn committed(
    consumer: &StreamConsumer<ReaderContext>,
    options: &KafkaSourceOptions,
    partitions: &Offsets,
) -> Result<Offsets, SourceFailure> {
    let timeout: Duration = options.answer_timeout;
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (partition, _) in partitions.iter() {
        let added = list.add_partition_offset(&options.topic, partition, Offset::Invalid);
        added.map_err(|error| classify(&reading(options), &error))?;
    }
    let fetched = consumer.committed_offsets(list, timeout);
    let list =
        fetched.map_err(|error| classify(&format!("fetching the offsets of group {}", options.group), &error))?;
    Ok(client::offsets(&list))
}

pub(super) fn reading(options: &KafkaSourceOptions) -> String {
    format!("reading topic {}", options.topic)
}

/// Returns the offsets of `stored`; `ledger` defines positions.
fn begin(
    options: &KafkaSourceOptions,
    stored: Position,
    extent: &TopicExtent,
    committed: &Offsets,
) -> Result<Offsets, SourceError> {
    let next: Offsets = match extent.end.iter().next() {
        Some((partition, _)) if extent.end.len() == 1 => [(partition, stored.lsn.cast_signed())].into_iter().collect(),
        _ if stored == Position::ZERO => extent.end.iter().map(|(partition, _)| (partition, 0)).collect(),
        _ if committed.len() == 0 => {
            return Err(SourceError::Lost {
                what: format!("the offsets of group {} in topic {}", options.group, options.topic),
                detail: format!(
                    "changes are stored up to {stored}, but the brokers hold no offsets of the group: they expired, were \
                     deleted, or the group was renamed"
                ),
            });
        }
        // A partition without an offset was added since, or nothing of it is confirmed yet.
        _ => extent.end.iter().map(|(partition, _)| (partition, committed.get(partition).unwrap_or(0))).collect(),
    };
    if extent.end.len() > 1 && next.sum() > stored.lsn {
        return Err(SourceError::Gap { stored, resumes: Position::before(next.sum()) });
    }
    for (partition, next) in next.iter() {
        let (first, end) = (extent.first.get(partition).unwrap_or(0), extent.end.get(partition).unwrap_or(0));
        let detail = if next < first {
            format!(
                "the next record is {next}, but the topic begins at {first}: its retention has deleted records that were \
                 not read. Give the topic a longer retention"
            )
        } else if next > end || next < 0 {
            format!("the next record is {next}, but the partition ends at {end}: the topic was recreated")
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
        begin(&options, stored, &TopicExtent { first: offsets(first), end: offsets(end) }, committed)
    }

    #[test]
    fn one_partition_needs_no_group() {
        let nothing = Offsets::default();
        let begins = |stored| begin_at(Position::before(stored), &[3], &[9], &nothing);
        assert_eq!(begins(5).expect("begins"), offsets(&[5]));
        assert_eq!(begins(9).expect("begins"), offsets(&[9]));
        for (lost, word) in [(2, "retention"), (10, "recreated"), (0, "retention")] {
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
        assert!(error.needs_recovery() && error.to_string().contains("recreated"), "{error}");
    }

    #[test]
    fn who_has_nothing_begins_with_the_first_record_there_ever_was() {
        let committed = Offsets::default();
        let begun = begin_at(Position::ZERO, &[0, 0], &[9, 9], &committed);
        assert_eq!(begun.expect("begins"), offsets(&[0, 0]));
        assert!(begin_at(Position::ZERO, &[0, 1], &[9, 9], &committed).is_err());
    }
}
