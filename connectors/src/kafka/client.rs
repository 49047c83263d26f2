//! Configuration of librdkafka's clients, and the state of the brokers as the clients report it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Events that [`poll_errors`] polls: a few for each broker and each attempt.
const EVENTS_MAX: usize = 64;

/// Returns the configuration that all clients of these brokers share: the host's properties, which may not name other
/// brokers.
pub(crate) fn connection(bootstrap_servers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "millstream");
    for (name, value) in properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", bootstrap_servers);
    config
}

/// Delivers the pending events of a client that got no response to its context. `poll` takes one event and does not wait.
/// The binding returns nothing for a log line, so an empty result is not the end of the events: the error follows its log
/// line.
pub(crate) fn poll_errors(mut poll: impl FnMut()) {
    for _ in 0..EVENTS_MAX {
        poll();
    }
}

/// Receives the errors that librdkafka reports between calls. The clients of one source, queue or sink share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observer(Arc<BrokerState>);

#[derive(Debug, Default)]
struct BrokerState {
    all_down: AtomicBool,
    last_error: Mutex<Option<String>>,
}

impl Observer {
    /// Returns whether the last event said that no broker can be reached.
    pub(crate) fn all_down(&self) -> bool {
        self.0.all_down.load(Ordering::Relaxed)
    }

    /// Notes that a broker responded.
    pub(crate) fn answered(&self) {
        self.0.all_down.store(false, Ordering::Relaxed);
        *self.0.last_error.lock() = None;
    }

    /// Returns the reason, with the last error that a client reported by itself.
    pub(crate) fn explain(&self, reason: &str) -> String {
        match &*self.0.last_error.lock() {
            Some(last) => format!("{reason} ({last})"),
            None => reason.to_owned(),
        }
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
            // It follows the error of the last broker, which says more.
            self.0.last_error.lock().get_or_insert_with(|| reason.to_owned());
        } else {
            *self.0.last_error.lock() = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Observer {}
