//! The publisher: follows the slot into Millstream's own change topic for the lifetime of the process, and restarts
//! after errors.
//!
//! A slot serves one reader. A second publisher on it runs as standby: the server refuses it until the first one is
//! gone, and it then continues where the first one stopped. The slot holds the only position, and it advances only when
//! all required replicas have a record.
//!
//! A topic that lacks changes cannot be told from a complete one. So a publisher whose slot is gone does not continue
//! in a topic that already has records: it reports the gap and waits for another topic. For the same reason the
//! publisher writes a first record as soon as the slot exists: a reader may have started on a topic that has no changes
//! yet.

use millstream_pipeline::source::{ChangeSource, SourceError, SourceStatus};
use millstream_pipeline::{Backoff, Position};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::change_topic::{ChangeTopicError, ChangeTopicOptions};
use super::end::TopicEnd;
use super::form::RecordForm;
use super::options::KafkaSourceOptions;
use super::writer::{ChangeTopicWriter, relay};
use crate::source::slot::{LogicalOptions, LogicalSource, drop_slot, ensure_slot, slot_status};

/// Publishes the changes of a slot into a topic.
#[derive(Debug)]
pub struct Publisher {
    slot: LogicalOptions,
    topic: ChangeTopicOptions,
    status: Mutex<PublisherStatus>,
}

/// A publisher's status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublisherStatus {
    /// Whether the publisher receives and writes changes right now.
    pub connected: bool,
    /// Number of changes written since the start.
    pub changes: u64,
    /// Number of restarts after an error.
    pub failures: u64,
    /// The last error since the last success, if any.
    pub last_error: Option<String>,
}

/// A failure of one publishing session.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error("{}", message_of(.0))]
    Topic(#[from] ChangeTopicError),
    #[error(
        "slot {slot} {state}, so topic {topic} lacks changes: choose another source.topic; its readers then compare all \
         documents"
    )]
    Gap { slot: String, state: &'static str, topic: String },
}

/// Returns the message of the root cause: the source's own error if there is one.
fn message_of(error: &ChangeTopicError) -> String {
    match error {
        ChangeTopicError::Source(source) => source.to_string(),
        error => error.to_string(),
    }
}

impl Publisher {
    /// Creates a publisher. It connects in [`Self::run`].
    #[must_use]
    pub fn new(slot: LogicalOptions, topic: ChangeTopicOptions) -> Self {
        Self { slot, topic, status: Mutex::default() }
    }

    /// Returns the status.
    pub fn status(&self) -> PublisherStatus {
        self.status.lock().clone()
    }

    fn update(&self, change: impl FnOnce(&mut PublisherStatus)) {
        change(&mut self.status.lock());
    }

    /// Publishes until `stop` is cancelled. Confirms everything written to the server before it returns.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::RECONNECT.attempts();
        while !stop.is_cancelled() {
            let written = self.status().changes;
            let Err(error) = self.publish(stop).await else { return };
            // A session that wrote changes resets the backoff.
            if self.status().changes > written {
                backoff = Backoff::RECONNECT.attempts();
            }
            let (reason, pause) = (error.to_string(), backoff.fail());
            tracing::warn!(%reason, ?pause, slot = self.slot.slot, "failed to publish changes; retrying");
            self.update(|status| {
                (status.connected, status.last_error) = (false, Some(reason));
                status.failures += 1;
            });
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    async fn publish(&self, stop: &CancellationToken) -> Result<(), PublishError> {
        let Some(opened) = stop.run_until_cancelled(self.open()).await else { return Ok(()) };
        let (writer, mut source) = opened?;
        let seen = |status: SourceStatus, changes: usize| {
            self.update(|own| {
                (own.connected, own.last_error) = (status.connected, status.last_error);
                own.changes += changes as u64;
            });
        };
        let relayed = stop.run_until_cancelled(relay(&mut source, &writer, seen)).await;
        let stopped = Box::new(source).shutdown().await;
        match relayed {
            Some(Err(error)) => Err(error.into()),
            Some(Ok(never)) => match never {},
            None => Ok(stopped?),
        }
    }

    /// Opens the topic before the slot: a slot retains WAL, so it is created only when the topic is usable.
    async fn open(&self) -> Result<(ChangeTopicWriter, LogicalSource), PublishError> {
        let writer = ChangeTopicWriter::open(self.topic.clone()).await?;
        let is_empty = self.topic_end().await? == Position::ZERO;
        let confirmed = self.ensure_slot(is_empty).await?;
        if is_empty {
            writer.begin().await?;
        }
        let source = LogicalSource::start(self.slot.clone(), confirmed, None)?;
        tracing::info!(slot = self.slot.slot, topic = self.topic.topic, %confirmed, "publishing changes");
        Ok((writer, source))
    }

    /// Returns the position of the slot. Creates a missing or lost slot, but only for an empty topic.
    async fn ensure_slot(&self, is_empty: bool) -> Result<Position, PublishError> {
        let state = match slot_status(&self.slot).await? {
            Some(slot) if slot.wal_status != "lost" => return Ok(slot.confirmed),
            Some(_) => "is lost (the server has removed the log behind it)",
            None => "does not exist",
        };
        if !is_empty {
            let (slot, topic) = (self.slot.slot.clone(), self.topic.topic.clone());
            return Err(PublishError::Gap { slot, state, topic });
        }
        drop_slot(&self.slot).await?;
        Ok(ensure_slot(&self.slot).await?.position)
    }

    async fn topic_end(&self) -> Result<Position, SourceError> {
        let ChangeTopicOptions { bootstrap_servers, topic, properties, .. } = &self.topic;
        let options = KafkaSourceOptions {
            properties: properties.clone(),
            answer_timeout: self.topic.answer_timeout,
            ..KafkaSourceOptions::new(bootstrap_servers, topic, topic, RecordForm::Millstream)
        };
        TopicEnd::new(options)?.now().await
    }
}
