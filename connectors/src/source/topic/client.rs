//! Configuration of the librdkafka clients of this source, and the callbacks that keep its status.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_pipeline::Position;
use millstream_pipeline::source::SourceStatus;
use parking_lot::{Mutex, MutexGuard};
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

/// Prefetched records that librdkafka holds in memory.
const READ_AHEAD_KIB: usize = 4_096;
/// Pause of the prefetch when the buffer is full. The default of one second would limit a reader that catches up.
const FETCH_BACKOFF_MS: u32 = 10;
/// Number of report intervals between two looks for added partitions.
const REPORTS_PER_REFRESH: u32 = 10;
/// The source does not join the group, so this only limits how long a commit waits for an unreachable coordinator.
const COORDINATOR_WAIT_MS: u32 = 6_000;

/// Configuration for requests about topics.
pub(super) fn admin(options: &KafkaSourceOptions) -> ClientConfig {
    let mut config = connection(&options.bootstrap_servers, &options.properties);
    for producers_only in ["compression.type", "compression.level", "linger.ms"] {
        config.remove(producers_only);
    }
    config
}

/// Configuration for reading a topic's watermarks. The client consumes nothing; the protocol requires a group name.
pub(super) fn watermark_reader(options: &KafkaSourceOptions) -> ClientConfig {
    let mut config = admin(options);
    config
        .set("group.id", &options.group)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    config
}

/// Configuration for consuming. Only offsets that were stored explicitly are committed, never those of received
/// records.
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
        .set("fetch.queue.backoff.ms", FETCH_BACKOFF_MS.to_string());
    config
}

/// Closes a consumer on a detached thread: while the brokers are unreachable, closing may never return.
pub(super) fn close(consumer: impl Consumer<ReaderContext> + Send + 'static) {
    let closing = std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(consumer));
    if let Err(error) = closing {
        tracing::warn!(%error, "failed to start a thread that closes a consumer");
    }
}

/// Converts offsets to librdkafka's list.
pub(super) fn list(topic: &str, offsets: &Offsets) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, next) in offsets.iter() {
        list.add_partition_offset(topic, partition, Offset::Offset(next))?;
    }
    Ok(list)
}

/// Converts a list to offsets, without the partitions that have none.
pub(super) fn offsets(list: &TopicPartitionList) -> Offsets {
    let known = list.elements().into_iter().filter_map(|element| match element.offset() {
        Offset::Offset(next) => Some((element.partition(), next)),
        _ => None,
    });
    known.collect()
}

/// State shared by the source and the callbacks of its consumer. No code path holds two of its locks.
#[derive(Debug)]
pub(super) struct ReaderState {
    topic: String,
    status: Mutex<SourceStatus>,
    ledger: Mutex<Ledger>,
    /// Ends of the partitions in the last statistics.
    ends: Mutex<Offsets>,
    /// Whether a consumer is assigned. Statistics of other clients do not set the status to connected.
    reading: AtomicBool,
    /// The last error that the client reported by callback.
    last_report: Mutex<Option<String>>,
    /// Notified when the topic has more partitions than before.
    pub(super) grown: Notify,
}

impl ReaderState {
    pub(super) fn new(topic: &str, stored: Position) -> Self {
        let status = SourceStatus { delivered: stored, confirmed: stored, ..SourceStatus::default() };
        Self {
            topic: topic.to_owned(),
            status: Mutex::new(status),
            ledger: Mutex::new(Ledger::new(stored)),
            ends: Mutex::default(),
            reading: AtomicBool::new(false),
            last_report: Mutex::default(),
            grown: Notify::new(),
        }
    }

    pub(super) fn status(&self) -> MutexGuard<'_, SourceStatus> {
        self.status.lock()
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    pub(super) fn ends(&self) -> MutexGuard<'_, Offsets> {
        self.ends.lock()
    }

    /// Takes the last error that the client reported by callback since the previous call.
    pub(super) fn take_last_report(&self) -> Option<String> {
        self.last_report.lock().take()
    }

    /// Records that the consumer is assigned.
    pub(super) fn opened(&self) {
        self.reading.store(true, Ordering::Relaxed);
        self.set_connected();
    }

    /// Sets the status to connected.
    fn set_connected(&self) {
        let mut status = self.status();
        (status.connected, status.last_error) = (true, None);
    }

    /// Sets the status to disconnected, with a reason.
    pub(super) fn set_disconnected(&self, reason: String) {
        let mut status = self.status();
        status.reconnects += u64::from(std::mem::take(&mut status.connected));
        status.last_error = Some(reason);
    }

    /// Returns the end of the topic, for a reader at `next`. The control record that ends a writer's transaction counts
    /// as a record, and the reader passes it only with the next record.
    pub(super) fn server_position(&self, next: &Offsets) -> Position {
        let ends = self.ends().clone();
        let furthest: Offsets = next
            .iter()
            .map(|(partition, next)| (partition, ends.get(partition).map_or(next, |end| end.max(next))))
            .collect();
        Position::before(furthest.sum())
    }
}

/// Callbacks of librdkafka, which keep the status.
#[derive(Debug, Clone)]
pub(super) struct ReaderContext(pub(super) Arc<ReaderState>);

impl ClientContext for ReaderContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        let mut last_report = self.0.last_report.lock();
        // "All brokers down" follows the error of the last broker, which says more.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) || last_report.is_none() {
            *last_report = Some(reason.to_owned());
        }
        let message = last_report.clone().unwrap_or_else(|| reason.to_owned());
        drop(last_report);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.set_disconnected(message);
        } else {
            self.0.status().last_error = Some(message);
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
        // Bootstrap entries have no broker id.
        if self.0.reading.load(Ordering::Relaxed)
            && statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP")
        {
            self.0.set_connected();
        }
    }
}

impl ConsumerContext for ReaderContext {
    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        match result {
            Ok(()) => {
                let confirmed = self.0.ledger().committed(&offsets(list));
                if let Some(position) = confirmed {
                    self.0.status().confirmed = position;
                }
            }
            // Nothing new to commit.
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => {}
            Err(error) => {
                tracing::warn!(%error, "failed to commit offsets; retrying with the next confirmation");
                self.0.status().last_error = Some(format!("committing offsets: {error}"));
            }
        }
    }
}
