//! Our own change topic, filled for as long as a process runs: the slot is followed, and after whatever passes followed
//! again.
//!
//! The slot serves one reader. A second publisher on it stands by: it is refused until the first one is gone, and begins
//! then where that one had come to. The slot is the only bookmark, and it moves only when all brokers that have to have a
//! record have it.
//!
//! A topic that lacks changes looks like one that has all of them. So a publisher whose slot is gone does not go on in a
//! topic that has records already: it says so, and waits for another topic. For the same reason a topic gets a record when
//! the slot is there: somebody may have begun to read it that brought nothing yet.

use std::sync::{Mutex, PoisonError};

use millstream_pipeline::Position;
use millstream_pipeline::source::{ChangeSource, SourceError, SourceStatus};
use tokio_util::sync::CancellationToken;

use super::end::TopicEnd;
use super::form::RecordForm;
use super::options::KafkaSourceOptions;
use super::topic::ChangeTopicOptions;
use super::writer::{ChangeTopicError, ChangeTopicWriter, relay};
use crate::source::slot::{LogicalOptions, LogicalSource, drop_slot, ensure_slot, slot_status};
use millstream_pipeline::Backoff;

/// A slot, and the topic that it is carried into.
#[derive(Debug)]
pub struct Publisher {
    slot: LogicalOptions,
    topic: ChangeTopicOptions,
    status: Mutex<PublisherStatus>,
}

/// How a publisher is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublisherStatus {
    /// Changes can arrive right now, and be written.
    pub connected: bool,
    /// Changes written since the start.
    pub changes: u64,
    /// Times that it gave up and began again.
    pub failures: u64,
    /// What went wrong last, if anything did since the last success.
    pub last_error: Option<String>,
}

/// Why publishing ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error("{}", told(.0))]
    Topic(#[from] ChangeTopicError),
    #[error(
        "slot {slot} {state}, so changes are missing that topic {topic} should have: choose another source.topic, whose \
         readers then compare all documents"
    )]
    Gap { slot: String, state: &'static str, topic: String },
}

/// With what the source says, which is the cause of it all.
fn told(error: &ChangeTopicError) -> String {
    match error {
        ChangeTopicError::Source(source) => source.to_string(),
        error => error.to_string(),
    }
}

impl Publisher {
    /// A publisher from a slot into a topic. It does nothing yet.
    #[must_use]
    pub fn new(slot: LogicalOptions, topic: ChangeTopicOptions) -> Self {
        Self { slot, topic, status: Mutex::default() }
    }

    /// How it is doing.
    pub fn status(&self) -> PublisherStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut PublisherStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Publishes until it is told to stop. What was written is confirmed to the server before it returns.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut backoff = Backoff::RECONNECT.attempts();
        while !stop.is_cancelled() {
            let written = self.status().changes;
            let Err(ended) = self.publish(stop).await else { return };
            // A session that brought something was a good one.
            if self.status().changes > written {
                backoff = Backoff::RECONNECT.attempts();
            }
            let (reason, pause) = (ended.to_string(), backoff.fail());
            tracing::warn!(%reason, ?pause, slot = self.slot.slot, "publishing changes failed; trying again");
            self.update(|status| {
                (status.connected, status.last_error) = (false, Some(reason));
                status.failures += 1;
            });
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    async fn publish(&self, stop: &CancellationToken) -> Result<(), Ended> {
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

    /// The topic first: until its name is known to be right, no slot holds back the server's log.
    async fn open(&self) -> Result<(ChangeTopicWriter, LogicalSource), Ended> {
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

    /// Where the slot is. One that is not there, or lost, is made, but only for an empty topic.
    async fn ensure_slot(&self, is_empty: bool) -> Result<Position, Ended> {
        let state = match slot_status(&self.slot).await? {
            Some(slot) if slot.wal_status != "lost" => return Ok(slot.confirmed),
            Some(_) => "is lost (the server has removed the log behind it)",
            None => "does not exist",
        };
        if !is_empty {
            let (slot, topic) = (self.slot.slot.clone(), self.topic.topic.clone());
            return Err(Ended::Gap { slot, state, topic });
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
