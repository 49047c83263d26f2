//! Questions about how far topics go.
//!
//! A client of its own asks them: a broker answers what comes over one connection in order, and on that of a reader it
//! is busy waiting for records half a second at a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millstream_pipeline::queue::QueueError;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::clients;
use super::options::KafkaQueueOptions;
use super::topics::{unavailable, unusable};
use crate::kafka::client::Observer;

const ASK_AGAIN: Duration = Duration::from_millis(250);
/// One question; a new client may have the answer sooner.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) partition: i32,
    pub(super) low: i64,
    pub(super) end: i64,
}

type Client = BaseConsumer<Observer>;

/// Asks, and reads nothing. Clones share the client.
#[derive(Clone)]
pub(super) struct Asker {
    config: ClientConfig,
    client: Arc<Mutex<Arc<Client>>>,
    observer: Observer,
    answer_timeout: Duration,
}

impl Asker {
    pub(super) fn new(options: &KafkaQueueOptions, observer: &Observer) -> Result<Self, QueueError> {
        let config = clients::follower(options, &options.group);
        let client = Client::from_config_and_context(&config, observer.clone()).map_err(unusable)?;
        Ok(Self {
            config,
            client: Arc::new(Mutex::new(Arc::new(client))),
            observer: observer.clone(),
            answer_timeout: options.answer_timeout,
        })
    }

    /// Where partitions of a topic begin and end now. While a partition changes its leader it is asked for again, as long
    /// as answers are waited for at all.
    pub(super) async fn marks(&self, topic: &str, partitions: Vec<i32>) -> Result<Vec<Mark>, QueueError> {
        let until = Instant::now() + self.answer_timeout;
        loop {
            let error = match self.ask(topic.to_owned(), partitions.clone()).await? {
                Ok(marks) => return Ok(marks),
                Err(error) => error,
            };
            if Instant::now() > until {
                return Err(unavailable("asking how far its topics go", &self.observer)(error));
            }
            tokio::time::sleep(ASK_AGAIN).await;
            self.renew().await?;
        }
    }

    async fn ask(&self, topic: String, partitions: Vec<i32>) -> Result<Result<Vec<Mark>, KafkaError>, QueueError> {
        let (client, timeout) = (Arc::clone(&self.client()), self.answer_timeout.min(ANSWER_MAX));
        let mark = move |partition| {
            client.fetch_watermarks(&topic, partition, timeout).map(|(low, end)| Mark { partition, low, end })
        };
        let asked = tokio::task::spawn_blocking(move || partitions.into_iter().map(mark).collect());
        asked.await.map_err(|_| QueueError::Closed)
    }

    /// Asks with another client from now on. A broker that has just started may tell of fewer partitions than there are,
    /// and a client that has heard that believes it for minutes.
    async fn renew(&self) -> Result<(), QueueError> {
        let new = Client::from_config_and_context(&self.config, self.observer.clone()).map_err(unusable)?;
        let old = std::mem::replace(&mut *self.client(), Arc::new(new));
        // Ending a client takes its time.
        tokio::task::spawn_blocking(move || drop(old)).await.map_err(|_| QueueError::Closed)
    }

    fn client(&self) -> MutexGuard<'_, Arc<Client>> {
        // Nothing panics while it holds the lock.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
