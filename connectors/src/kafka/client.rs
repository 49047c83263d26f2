//! Clients of librdkafka as this sink needs them, and what they say about the brokers by the way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::FutureProducer;
use rdkafka::types::RDKafkaErrorCode;

use super::options::KafkaOptions;

/// A transaction may last as long as its records may wait, and some calls more; for longer a dead writer does not hold
/// up the readers of committed records.
const TRANSACTION_BEYOND_ANSWER: Duration = Duration::from_secs(30);
/// What a reader holds in memory that nobody has asked for yet.
const READ_AHEAD_KIB: usize = 4_096;
/// How soon a reader that holds as much as it may fetches more: librdkafka would wait for a second.
const LOOK_AGAIN_MS: u32 = 10;
/// What one answer to a reader carries.
const FETCH_BYTES_MAX: usize = 1 << 20;
/// Events of a client that got no answer, at most: a few for each broker and each time that it tried.
const EVENTS_MAX: usize = 64;
/// A producer's batch, unless a record may not even be that large.
const BATCH_BYTES_MAX: usize = 1_000_000;

/// What every client of these brokers has in common: the host's properties, which may not name other brokers.
pub(crate) fn connection(bootstrap_servers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "millstream");
    for (name, value) in properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", bootstrap_servers);
    config
}

/// Lets a client that got no answer tell its context what it heard meanwhile, with a `poll` that takes one event and does
/// not wait. The binding answers for a line of the log as if there was nothing, so an empty answer is not the end: what
/// went wrong stands behind its own line in the log.
pub(crate) fn hear(mut poll: impl FnMut()) {
    for _ in 0..EVENTS_MAX {
        poll();
    }
}

fn common(options: &KafkaOptions) -> ClientConfig {
    connection(&options.bootstrap_servers, &options.properties)
}

/// For questions about topics.
pub(super) fn admin(options: &KafkaOptions) -> ClientConfig {
    common(options)
}

/// For the writer's two producers. A batch is never larger than the broker takes: it refuses batches, not records.
pub(super) fn producers(options: &KafkaOptions) -> [ClientConfig; 2] {
    let mut config = common(options);
    if !options.properties.contains_key("linger.ms") {
        // The records of a batch are queued at once, and nothing comes after them.
        config.set("linger.ms", "0");
    }
    config
        .set("transaction.timeout.ms", millis(options.answer_timeout + TRANSACTION_BEYOND_ANSWER))
        .set("message.timeout.ms", millis(options.answer_timeout))
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "5")
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", options.record_bytes_max.to_string())
        .set("batch.size", options.record_bytes_max.min(BATCH_BYTES_MAX).to_string());
    // No topic has a name with a slash, so no other topic's writer has the second name.
    [writer_id(options), format!("{}/2", writer_id(options))].map(|id| {
        let mut config = config.clone();
        config.set("transactional.id", id);
        config
    })
}

/// For readers of what was committed. They join no group and commit nothing; the protocol wants a name for one.
pub(super) fn reader(options: &KafkaOptions) -> ClientConfig {
    let mut config = common(options);
    for producers_only in ["compression.type", "compression.level", "linger.ms"] {
        config.remove(producers_only);
    }
    config
        .set("group.id", writer_id(options))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", READ_AHEAD_KIB.to_string())
        .set("fetch.queue.backoff.ms", LOOK_AGAIN_MS.to_string())
        .set("fetch.message.max.bytes", FETCH_BYTES_MAX.to_string())
        // Not less than the largest record may be.
        .set("fetch.max.bytes", FETCH_BYTES_MAX.max(options.record_bytes_max).to_string())
        .set("receive.message.max.bytes", (FETCH_BYTES_MAX.max(options.record_bytes_max) + 1_000_000).to_string());
    config
}

/// The name that the right to write goes by: one for each topic, whatever the sinks that point to it are called.
pub(super) fn writer_id(options: &KafkaOptions) -> String {
    format!("millstream.{}", options.topic)
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// One of the writer's two.
pub(super) type TransactionalProducer = FutureProducer<Observer>;

/// Hears what librdkafka tells between calls. Shared by the clients of one sink.
#[derive(Debug, Clone, Default)]
pub(super) struct Observer(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    all_down: AtomicBool,
    last: Mutex<Option<String>>,
}

impl Observer {
    /// Whether the last thing heard of the brokers was that none can be reached.
    pub(super) fn all_down(&self) -> bool {
        self.0.all_down.load(Ordering::Relaxed)
    }

    /// A broker answered.
    pub(super) fn answered(&self) {
        self.0.all_down.store(false, Ordering::Relaxed);
        *self.last() = None;
    }

    /// A reason, with the last trouble that a client reported by itself.
    pub(super) fn explain(&self, reason: &str) -> String {
        match &*self.last() {
            Some(last) => format!("{reason} ({last})"),
            None => reason.to_owned(),
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // Nothing panics while it holds the lock.
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Observer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "{reason}");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.all_down.store(true, Ordering::Relaxed);
            // It comes after the trouble with the last of them, which says more.
            self.last().get_or_insert_with(|| reason.to_owned());
        } else {
            *self.last() = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Observer {}
