//! A compacted topic as a table: the last value of each key, followed for as long as the process lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::queue::QueueError;
use parking_lot::{Mutex, MutexGuard};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::options::KafkaQueueOptions;
use super::watermark::WatermarkClient;
use crate::kafka::client::Observer;
use crate::kafka::errors::QueueResultExt;

/// The header that says why a record could not be read.
pub(super) const REASON_HEADER: &str = "reason";

/// Pause after an error that the client did not recover from by itself.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// For each partition the next offset that is not in the rows yet.
type AppliedOffsets = BTreeMap<i32, i64>;

/// The last record of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicRow {
    pub(super) partition: i32,
    pub(super) value: Vec<u8>,
    /// The value of [`REASON_HEADER`].
    pub(super) reason: Option<String>,
}

/// A follower of one compacted topic.
pub(super) struct TopicTable {
    topic: String,
    partitions: i32,
    consumer: Arc<StreamConsumer<Observer>>,
    watermarks: WatermarkClient,
    observer: Observer,
    answer_timeout: Duration,
    rows: Mutex<BTreeMap<Vec<u8>, TopicRow>>,
    applied: watch::Sender<AppliedOffsets>,
    stop: CancellationToken,
}

impl TopicTable {
    /// Starts to follow a topic. The rows are complete after [`TopicTable::sync`].
    pub(super) async fn open(
        options: &KafkaQueueOptions,
        (topic, group, partitions): (&str, &str, u32),
        (observer, watermarks): (&Observer, &WatermarkClient),
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<Self>, QueueError> {
        let consumer: StreamConsumer<Observer> =
            StreamConsumer::from_config_and_context(&options.follower_config(group), observer.clone())
                .client_created()?;
        let table = Arc::new(Self {
            topic: topic.to_owned(),
            partitions: partitions.cast_signed(),
            consumer: Arc::new(consumer),
            watermarks: watermarks.clone(),
            observer: observer.clone(),
            answer_timeout: options.answer_timeout,
            rows: Mutex::default(),
            applied: watch::Sender::default(),
            stop: stop.clone(),
        });
        let ends = table.ends().await?;
        let mut all = TopicPartitionList::new();
        for partition in 0..table.partitions {
            all.add_partition_offset(topic, partition, Offset::Beginning).client_created()?;
        }
        table.consumer.assign(&all).client_created()?;
        let task = Arc::clone(&table);
        tasks.spawn(async move { task.follow(ends.into_iter().collect()).await });
        Ok(table)
    }

    /// Returns the present end of each partition.
    async fn ends(&self) -> Result<Vec<(i32, i64)>, QueueError> {
        let watermarks = self.watermarks.fetch(&self.topic, (0..self.partitions).collect()).await?;
        Ok(watermarks.into_iter().map(|watermark| (watermark.partition, watermark.end)).collect())
    }

    /// Returns the offsets that the group of this follower has committed in another topic. Partitions without a commit
    /// are missing.
    pub(super) async fn committed(
        &self,
        topic: String,
        partitions: Vec<i32>,
    ) -> Result<BTreeMap<i32, i64>, QueueError> {
        let (consumer, timeout) = (Arc::clone(&self.consumer), self.answer_timeout);
        let query = tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                list.add_partition(&topic, partition);
            }
            consumer.committed_offsets(list, timeout)
        });
        let queried = query.await.map_err(|_| QueueError::Closed)?;
        let committed = queried.during("asking what is committed", &self.observer)?;
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        let elements = committed.elements();
        Ok(elements.iter().filter_map(|element| Some((element.partition(), offset(element.offset())?))).collect())
    }

    /// Waits until the rows contain everything that any process wrote before the call.
    pub(super) async fn sync(&self) -> Result<(), QueueError> {
        let ends = self.ends().await?;
        self.reach(&ends).await
    }

    /// Waits until each partition was applied up to an end, exclusive.
    pub(super) async fn reach(&self, ends: &[(i32, i64)]) -> Result<(), QueueError> {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| {
            ends.iter().all(|(partition, end)| applied.get(partition).copied().unwrap_or(0) >= *end)
        });
        tokio::select! {
            () = self.stop.cancelled() => Err(QueueError::Closed),
            reached = tokio::time::timeout(self.answer_timeout, reached) => match reached {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(_)) => Err(QueueError::Closed),
                Err(_) => {
                    let detail = self.observer.explain("what was written did not come back in time");
                    Err(QueueError::Unavailable { action: "reading what was written", detail })
                }
            }
        }
    }

    /// Returns the rows as far as they are applied.
    pub(super) fn rows(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, TopicRow>> {
        self.rows.lock()
    }

    /// Returns a receiver that is notified of every change of the rows.
    pub(super) fn changes(&self) -> watch::Receiver<AppliedOffsets> {
        self.applied.subscribe()
    }

    /// Applies records until the queue stops. `first_ends` are the ends of the partitions when the table was opened: the
    /// last record before an end may have been compacted away, so that only the end of the partition shows that it was
    /// reached.
    async fn follow(&self, mut first_ends: BTreeMap<i32, i64>) {
        loop {
            let received = tokio::select! {
                () = self.stop.cancelled() => return,
                received = self.consumer.recv() => received,
            };
            match received {
                Ok(message) => {
                    let (partition, next) = (message.partition(), message.offset() + 1);
                    self.apply(&message);
                    self.advance(partition, next);
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    if let Some(end) = first_ends.remove(&partition) {
                        self.advance(partition, end);
                    }
                }
                // The client recovers by itself.
                Err(error) => {
                    tracing::debug!(topic = self.topic, %error, "error while following a topic of the queue");
                    tokio::time::sleep(ERROR_PAUSE).await;
                }
            }
        }
    }

    fn apply(&self, message: &impl Message) {
        let key = message.key().unwrap_or_default().to_vec();
        let mut rows = self.rows();
        match message.payload() {
            Some(value) => {
                let row = TopicRow { partition: message.partition(), value: value.to_vec(), reason: reason(message) };
                rows.insert(key, row);
            }
            None => drop(rows.remove(&key)),
        }
    }

    fn advance(&self, partition: i32, next: i64) {
        self.applied.send_modify(|applied| {
            let known = applied.entry(partition).or_default();
            *known = next.max(*known);
        });
    }
}

fn reason(message: &impl Message) -> Option<String> {
    let header = message.headers()?.iter().find(|header| header.key == REASON_HEADER)?;
    header.value.map(|text| String::from_utf8_lossy(text).into_owned())
}
