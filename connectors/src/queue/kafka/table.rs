//! A compacted topic as a table: the last value of each key, followed for as long as the process lives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millstream_pipeline::queue::QueueError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::asker::Asker;
use super::clients;
use super::options::KafkaQueueOptions;
use super::producer::Written;
use super::station::REASON;
use super::topics::{unavailable, unusable};
use crate::kafka::client::Observer;

/// A partition and an offset in it.
type Point = (i32, i64);

/// What to wait after an error that the client did not mend by itself.
const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// A row: where it came from and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) partition: i32,
    pub(super) value: Vec<u8>,
    /// What its header says is wrong with it.
    pub(super) reason: Option<String>,
}

/// A follower of one topic.
pub(super) struct Table {
    topic: String,
    partitions: i32,
    consumer: Arc<StreamConsumer<Observer>>,
    asker: Asker,
    observer: Observer,
    answer_timeout: Duration,
    rows: Mutex<BTreeMap<Vec<u8>, Row>>,
    /// The next offset of each partition that is not in the rows yet.
    applied: watch::Sender<BTreeMap<i32, i64>>,
    stop: CancellationToken,
}

impl Table {
    /// Begins to follow a topic. The rows are there after [`Table::sync`].
    pub(super) async fn open(
        options: &KafkaQueueOptions,
        (topic, group, partitions): (&str, &str, u32),
        (observer, asker): (&Observer, &Asker),
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<Self>, QueueError> {
        let consumer: StreamConsumer<Observer> =
            StreamConsumer::from_config_and_context(&clients::follower(options, group), observer.clone())
                .map_err(unusable)?;
        let table = Arc::new(Self {
            topic: topic.to_owned(),
            partitions: partitions.cast_signed(),
            consumer: Arc::new(consumer),
            asker: asker.clone(),
            observer: observer.clone(),
            answer_timeout: options.answer_timeout,
            rows: Mutex::default(),
            applied: watch::Sender::default(),
            stop: stop.clone(),
        });
        let ends = table.ends().await?;
        let mut all = TopicPartitionList::new();
        for partition in 0..table.partitions {
            all.add_partition_offset(topic, partition, Offset::Beginning).map_err(unusable)?;
        }
        table.consumer.assign(&all).map_err(unusable)?;
        let task = Arc::clone(&table);
        tasks.spawn(async move { task.follow(ends.into_iter().collect()).await });
        Ok(table)
    }

    /// Where the table's partitions end now.
    async fn ends(&self) -> Result<Vec<Point>, QueueError> {
        let marks = self.asker.marks(&self.topic, (0..self.partitions).collect()).await?;
        Ok(marks.into_iter().map(|mark| (mark.partition, mark.end)).collect())
    }

    /// How far partitions of a topic are committed by the group that this table was opened for; `None` for never.
    pub(super) async fn committed(
        &self,
        topic: String,
        partitions: Vec<i32>,
    ) -> Result<Vec<(i32, Option<i64>)>, QueueError> {
        let (consumer, timeout) = (Arc::clone(&self.consumer), self.answer_timeout);
        let asked = tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                list.add_partition(&topic, partition);
            }
            consumer.committed_offsets(list, timeout)
        });
        let answer = asked.await.map_err(|_| QueueError::Closed)?;
        let committed = answer.map_err(unavailable("asking what is committed", &self.observer))?;
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        Ok(committed.elements().iter().map(|element| (element.partition(), offset(element.offset()))).collect())
    }

    /// Waits until the rows have everything that was acknowledged before the call, by whomever.
    pub(super) async fn sync(&self) -> Result<(), QueueError> {
        let ends = self.ends().await?;
        self.reach(&ends).await
    }

    /// Waits until the rows have what was written here.
    pub(super) async fn reach_written(&self, written: &[Option<Written>]) -> Result<(), QueueError> {
        let ends: Vec<Point> =
            written.iter().flatten().map(|written| (written.partition, written.offset + 1)).collect();
        self.reach(&ends).await
    }

    async fn reach(&self, ends: &[Point]) -> Result<(), QueueError> {
        let mut applied = self.applied.subscribe();
        let there = applied.wait_for(|applied| {
            ends.iter().all(|(partition, end)| applied.get(partition).copied().unwrap_or(0) >= *end)
        });
        tokio::select! {
            () = self.stop.cancelled() => Err(QueueError::Closed),
            reached = tokio::time::timeout(self.answer_timeout, there) => match reached {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(_)) => Err(QueueError::Closed),
                Err(_) => {
                    let detail = self.observer.explain("what was written did not come back in time");
                    Err(QueueError::Unavailable { action: "reading what was written", detail })
                }
            }
        }
    }

    /// The rows as they are known now.
    pub(super) fn rows(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Row>> {
        // Nothing panics while it holds the lock.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of every change of the rows.
    pub(super) fn changes(&self) -> watch::Receiver<BTreeMap<i32, i64>> {
        self.applied.subscribe()
    }

    /// `first_ends`: where the partitions ended when it was opened. The last record before an end may have been compacted
    /// away, so that only the end itself tells that it was reached.
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
                // The client goes on by itself.
                Err(error) => {
                    tracing::debug!(topic = self.topic, %error, "following a topic of the queue");
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
                let row = Row { partition: message.partition(), value: value.to_vec(), reason: reason(message) };
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
    let header = message.headers()?.iter().find(|header| header.key == REASON)?;
    header.value.map(|text| String::from_utf8_lossy(text).into_owned())
}
