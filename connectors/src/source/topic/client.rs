//! The consumer of librdkafka as this source needs it, and what it tells by the way: the status.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_pipeline::Position;
use millstream_pipeline::source::SourceStatus;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use super::ledger::{Ledger, Offsets};
use super::options::KafkaSourceOptions;
use crate::kafka::client::connection;

/// What librdkafka holds in memory that nobody has asked for yet.
const READ_AHEAD_KIB: usize = 4_096;
/// With that much at hand, it looks this soon whether there is room again. The usual second would be what limits a reader
/// that catches up.
const LOOK_AGAIN_MS: u32 = 10;
/// Added partitions are noticed within so many report intervals.
const REPORTS_PER_REFRESH: u32 = 10;
/// Nothing is joined, so this is only how long a commit waits for the group's coordinator when none can be reached.
const COORDINATOR_WAIT_MS: u32 = 6_000;

/// For questions about topics.
pub(super) fn admin(options: &KafkaSourceOptions) -> ClientConfig {
    let mut config = connection(&options.bootstrap_servers, &options.properties);
    for producers_only in ["compression.type", "compression.level", "linger.ms"] {
        config.remove(producers_only);
    }
    config
}

/// For asking where a topic begins and ends. It reads nothing; the protocol wants a name for a group.
pub(super) fn asker(options: &KafkaSourceOptions) -> ClientConfig {
    let mut config = admin(options);
    config
        .set("group.id", &options.group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    config
}

/// For reading. What is committed is what was stored by hand, and never what was merely received.
pub(super) fn reader(options: &KafkaSourceOptions) -> ClientConfig {
    let mut config = admin(options);
    let report_ms = options.report_interval.as_millis().max(1);
    config
        .set("group.id", &options.group)
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", report_ms.to_string())
        .set("session.timeout.ms", COORDINATOR_WAIT_MS.to_string())
        .set("statistics.interval.ms", report_ms.to_string())
        .set("topic.metadata.refresh.interval.ms", (report_ms * u128::from(REPORTS_PER_REFRESH)).to_string())
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("queued.max.messages.kbytes", READ_AHEAD_KIB.to_string())
        .set("fetch.queue.backoff.ms", LOOK_AGAIN_MS.to_string());
    config
}

/// Closes a consumer on a thread of its own, which nobody waits for: while the brokers are away, closing may never end.
pub(super) fn close(consumer: impl Consumer<Observer> + Send + 'static) {
    let closing = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(consumer));
    if let Err(error) = closing {
        tracing::warn!(%error, "there was no thread to close a consumer on");
    }
}

/// The offsets as librdkafka takes them.
pub(super) fn list(topic: &str, offsets: &Offsets) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, next) in offsets.iter() {
        list.add_partition_offset(topic, partition, Offset::Offset(next))?;
    }
    Ok(list)
}

/// The offsets in such a list, but for partitions that have none.
pub(super) fn offsets(list: &TopicPartitionList) -> Offsets {
    let known = list.elements().into_iter().filter_map(|element| match element.offset() {
        Offset::Offset(next) => Some((element.partition(), next)),
        _ => None,
    });
    known.collect()
}

/// What the source and its consumer know together.
#[derive(Debug)]
pub(super) struct Shared {
    topic: String,
    status: Mutex<SourceStatus>,
    ledger: Mutex<Ledger>,
    /// Where the partitions end, as of the last report.
    ends: Mutex<Offsets>,
    /// A consumer reads; one that only asked, or is closing, says nothing about that.
    reading: AtomicBool,
    /// What the client reported by itself last.
    heard: Mutex<Option<String>>,
    /// Told when the topic turns out to have more partitions than before.
    pub(super) grown: Notify,
}

impl Shared {
    pub(super) fn new(topic: &str, stored: Position) -> Self {
        let status = SourceStatus { delivered: stored, confirmed: stored, ..SourceStatus::default() };
        Self {
            topic: topic.to_owned(),
            status: Mutex::new(status),
            ledger: Mutex::new(Ledger::new(stored)),
            ends: Mutex::default(),
            reading: AtomicBool::new(false),
            heard: Mutex::default(),
            grown: Notify::new(),
        }
    }

    // Nothing panics while it holds one of the locks, and nobody holds two of them.
    pub(super) fn status(&self) -> MutexGuard<'_, SourceStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ends(&self) -> MutexGuard<'_, Offsets> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the client reported by itself since the last time that this was asked.
    pub(super) fn take_heard(&self) -> Option<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The topic is open.
    pub(super) fn opened(&self) {
        self.reading.store(true, Ordering::Relaxed);
        self.reached();
    }

    /// Records can arrive.
    fn reached(&self) {
        let mut status = self.status();
        (status.connected, status.last_error) = (true, None);
    }

    /// Records cannot arrive, and why.
    pub(super) fn unreachable(&self, reason: String) {
        let mut status = self.status();
        status.reconnects += u64::from(std::mem::take(&mut status.connected));
        status.last_error = Some(reason);
    }

    /// As far as the topic goes, seen by a reader who is at `next`. The mark that ends a transaction of the writer counts
    /// as a record, and is passed only with the next one.
    pub(super) fn server_position(&self, next: &Offsets) -> Position {
        let ends = self.ends().clone();
        let furthest: Offsets = next
            .iter()
            .map(|(partition, next)| (partition, ends.get(partition).map_or(next, |end| end.max(next))))
            .collect();
        Position::before(furthest.sum())
    }
}

/// Hears what librdkafka tells between calls.
#[derive(Debug, Clone)]
pub(super) struct Observer(pub(super) Arc<Shared>);

impl ClientContext for Observer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        let mut heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // That all are down comes after the trouble with the last of them, which says more.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) || heard.is_none() {
            *heard = Some(reason.to_owned());
        }
        let telling = heard.clone().unwrap_or_else(|| reason.to_owned());
        drop(heard);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.unreachable(telling);
        } else {
            self.0.status().last_error = Some(telling);
        }
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(topic) = statistics.topics.get(&self.0.topic) {
            let known = topic.partitions.values().filter(|partition| partition.partition >= 0 && !partition.unknown);
            let ends: Offsets = known.map(|partition| (partition.partition, partition.ls_offset.max(0))).collect();
            let before = std::mem::replace(&mut *self.0.ends(), ends.clone());
            if ends.len() > before.len() {
                self.0.grown.notify_one();
            }
        }
        // Brokers that are only an address to begin with have no number.
        if self.0.reading.load(Ordering::Relaxed)
            && statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP")
        {
            self.0.reached();
        }
    }
}

impl ConsumerContext for Observer {
    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        match result {
            Ok(()) => {
                let confirmed = self.0.ledger().committed(&offsets(list));
                if let Some(position) = confirmed {
                    self.0.status().confirmed = position;
                }
            }
            // There was nothing new to commit.
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => {}
            Err(error) => {
                tracing::warn!(%error, "offsets could not be committed; trying again with the next ones");
                self.0.status().last_error = Some(format!("committing offsets: {error}"));
            }
        }
    }
}
