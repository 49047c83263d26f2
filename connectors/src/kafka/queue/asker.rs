//! Questions about how far topics go.
//!
//! A client of its own asks them: a broker answers what comes over one connection in order, and on that of a reader it
//! is busy waiting for records half a second at a time.

use std::sync::Arc;
use std::time::Duration;

use millstream_outbox::queue::QueueError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::clients;
use super::options::KafkaQueueOptions;
use super::topics::{unavailable, unusable};
use crate::kafka::client::Observer;

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) partition: i32,
    pub(super) low: i64,
    pub(super) end: i64,
}

/// Asks, and reads nothing. Clones share the client.
#[derive(Clone)]
pub(super) struct Asker {
    client: Arc<BaseConsumer<Observer>>,
    observer: Observer,
    answer_timeout: Duration,
}

impl Asker {
    pub(super) fn new(options: &KafkaQueueOptions, observer: &Observer) -> Result<Self, QueueError> {
        let config = clients::follower(options, &options.group);
        let client = BaseConsumer::from_config_and_context(&config, observer.clone()).map_err(unusable)?;
        Ok(Self { client: Arc::new(client), observer: observer.clone(), answer_timeout: options.answer_timeout })
    }

    /// Where partitions of a topic begin and end now.
    pub(super) async fn marks(&self, topic: &str, partitions: Vec<i32>) -> Result<Vec<Mark>, QueueError> {
        let (client, topic, timeout) = (Arc::clone(&self.client), topic.to_owned(), self.answer_timeout);
        let mark = move |partition| {
            client.fetch_watermarks(&topic, partition, timeout).map(|(low, end)| Mark { partition, low, end })
        };
        let asked = tokio::task::spawn_blocking(move || partitions.into_iter().map(mark).collect::<Result<_, _>>());
        let answer = asked.await.map_err(|_| QueueError::Closed)?;
        answer.map_err(unavailable("asking how far its topics go", &self.observer))
    }
}
