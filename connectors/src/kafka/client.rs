//! Clients of librdkafka as this sink needs them, and what they say about the brokers by the way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Events of a client that got no answer, at most: a few for each broker and each time that it tried.
const EVENTS_MAX: usize = 64;
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

/// Hears what librdkafka tells between calls. Shared by the clients of one sink.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observer(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    all_down: AtomicBool,
    last: Mutex<Option<String>>,
}

impl Observer {
    /// Whether the last thing heard of the brokers was that none can be reached.
    pub(crate) fn all_down(&self) -> bool {
        self.0.all_down.load(Ordering::Relaxed)
    }

    /// A broker answered.
    pub(crate) fn answered(&self) {
        self.0.all_down.store(false, Ordering::Relaxed);
        *self.last() = None;
    }

    /// A reason, with the last trouble that a client reported by itself.
    pub(crate) fn explain(&self, reason: &str) -> String {
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
