//! A scan of the topic from its beginning to the end that it had at the start of the scan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::{Content, Held, Scan, SinkError};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::clients;
use super::envelope::{ResourceNames, decode};
use super::options::KafkaOptions;
use super::topic::{unavailable, unusable};
use crate::kafka::client::Observer;

/// Maximum records and bytes of one page.
const PAGE_RECORDS: usize = 500;
const PAGE_BYTES: usize = 1 << 20;

/// Pause between two looks at the last stable offset.
const STABLE_OFFSET_PAUSE: Duration = Duration::from_millis(10);

/// A running scan.
pub(super) struct TopicScan {
    consumer: StreamConsumer<Observer>,
    observer: Observer,
    names: Arc<ResourceNames>,
    sink: String,
    silence_max: Duration,
    /// End offset of each partition that is not fully read.
    unread: BTreeMap<i32, i64>,
}

impl TopicScan {
    /// Fetches the ends of the partitions and starts at their first records. `only` selects partitions; `None` for all.
    pub(super) async fn begin(
        options: &KafkaOptions,
        (observer, names): (&Observer, &Arc<ResourceNames>),
        sink: &str,
        only: Option<Vec<i32>>,
    ) -> Result<Self, SinkError> {
        let consumer: StreamConsumer<Observer> =
            StreamConsumer::from_config_and_context(&clients::reader(options), observer.clone())
                .map_err(|error| unusable(sink, &error))?;
        let mut config = clients::reader(options);
        config.set("isolation.level", "read_uncommitted");
        let whole: BaseConsumer<Observer> =
            BaseConsumer::from_config_and_context(&config, observer.clone()).map_err(|error| unusable(sink, &error))?;
        let (topic, timeout) = (options.topic.clone(), options.answer_timeout);
        let opening = tokio::task::spawn_blocking(move || {
            let ends = ends(&whole, &topic, only, timeout);
            let ends = ends.and_then(|ends| wait_decided(&consumer, &topic, &ends, timeout).map(|()| ends));
            ends.and_then(|ends| assign(&consumer, &topic, &ends).map(|()| (consumer, ends)))
        });
        let opened = opening.await.map_err(|error| broken(sink, format!("the reader stopped: {error}")))?;
        let (consumer, unread) = opened.map_err(|error| unavailable(sink, observer, &error))?;
        let silence_max = options.answer_timeout;
        let (observer, names) = (observer.clone(), Arc::clone(names));
        Ok(Self { consumer, observer, names, sink: sink.to_owned(), silence_max, unread })
    }

    /// Returns the next record; `None` at the end of all partitions.
    async fn record(&mut self) -> Result<Option<Held>, SinkError> {
        while !self.unread.is_empty() {
            let received = tokio::time::timeout(self.silence_max, self.consumer.recv()).await;
            let Ok(received) = received else {
                let reason = self.observer.explain(&format!("no record arrived within {:?}", self.silence_max));
                return Err(SinkError::Unavailable { sink: self.sink.clone(), reason });
            };
            match received {
                // Offsets after the last record may hold only control records of transactions.
                Err(KafkaError::PartitionEOF(partition)) => drop(self.unread.remove(&partition)),
                // The client retries by itself; if it does not recover, the timeout above fires.
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(unavailable(&self.sink, &self.observer, &error)),
                Ok(message) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some(end) = self.unread.get(&partition).copied() else { continue };
                    if offset + 1 >= end {
                        self.unread.remove(&partition);
                    }
                    if offset >= end {
                        continue;
                    }
                    let held = decode(&message, &self.names).map_err(|reason| {
                        broken(
                            &self.sink,
                            format!("record {offset} of partition {partition} does not follow the contract: {reason}"),
                        )
                    });
                    return held.map(Some);
                }
            }
        }
        Ok(None)
    }

    async fn page(&mut self) -> Result<Vec<Held>, SinkError> {
        let mut page = Vec::new();
        let mut bytes = 0;
        while page.len() < PAGE_RECORDS && bytes < PAGE_BYTES {
            let Some(held) = self.record().await? else { break };
            bytes += match &held.content {
                Content::Document(json) => json.len(),
                Content::Deleted => 0,
            };
            page.push(held);
        }
        Ok(page)
    }
}

impl Scan for TopicScan {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Held>, SinkError>> {
        self.page().boxed()
    }
}

/// Fetches the end of each partition that is not empty.
fn ends(
    consumer: &BaseConsumer<Observer>,
    topic: &str,
    only: Option<Vec<i32>>,
    timeout: Duration,
) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id());
    let partitions: Vec<i32> = partitions.filter(|id| only.as_ref().is_none_or(|only| only.contains(id))).collect();
    if partitions.is_empty() {
        return Err(KafkaError::MetadataFetch(Code::UnknownTopicOrPartition));
    }
    let mut ends = BTreeMap::new();
    for partition in partitions {
        let (first, end) = consumer.fetch_watermarks(topic, partition, timeout)?;
        if first < end {
            ends.insert(partition, end);
        }
    }
    Ok(ends)
}

/// Waits until every transaction before the ends is decided. The broker confirms a commit before its control records
/// are in the partitions; until they are, readers do not see the committed records.
fn wait_decided(
    consumer: &StreamConsumer<Observer>,
    topic: &str,
    ends: &BTreeMap<i32, i64>,
    timeout: Duration,
) -> Result<(), KafkaError> {
    let until = Instant::now() + timeout;
    for (partition, end) in ends {
        while consumer.fetch_watermarks(topic, *partition, timeout)?.1 < *end {
            if Instant::now() > until {
                return Err(KafkaError::MetadataFetch(Code::OperationTimedOut));
            }
            std::thread::sleep(STABLE_OFFSET_PAUSE);
        }
    }
    Ok(())
}

fn assign(consumer: &StreamConsumer<Observer>, topic: &str, ends: &BTreeMap<i32, i64>) -> Result<(), KafkaError> {
    let mut assignment = TopicPartitionList::with_capacity(ends.len());
    for partition in ends.keys() {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)
}

fn is_transient(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::Resolve
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::NotCoordinator
        )
    )
}

fn broken(sink: &str, reason: String) -> SinkError {
    SinkError::Broken { sink: sink.to_owned(), reason }
}
