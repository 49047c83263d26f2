//! Queries for the first and the end offsets of partitions.
//!
//! They use a client of their own: a broker answers the requests of one connection in order, and on a reader's
//! connection it spends up to half a second at a time waiting for records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_pipeline::queue::QueueError;
use parking_lot::Mutex;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};

use crate::kafka::client::Observer;
use crate::kafka::errors::QueueResultExt;

const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Limit of one attempt; a new client may get the response sooner.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// The bounds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermarks {
    pub(super) partition: i32,
    /// The first offset that exists.
    pub(super) low: i64,
    /// The offset that the next record gets.
    pub(super) end: i64,
}

type QueryClient = BaseConsumer<Observer>;

/// Queries watermarks and reads nothing. Clones share the client.
#[derive(Clone)]
pub(super) struct WatermarkClient {
    config: ClientConfig,
    client: Arc<Mutex<Arc<QueryClient>>>,
    observer: Observer,
    answer_timeout: Duration,
}

impl WatermarkClient {
    pub(super) fn new(config: ClientConfig, answer_timeout: Duration, observer: &Observer) -> Result<Self, QueueError> {
        let client = create(&config, observer)?;
        Ok(Self { config, client: Arc::new(Mutex::new(client)), observer: observer.clone(), answer_timeout })
    }

    /// Returns the watermarks of partitions of a topic. Retries until the answer timeout, since a partition may be
    /// changing its leader.
    pub(super) async fn fetch(&self, topic: &str, partitions: Vec<i32>) -> Result<Vec<Watermarks>, QueueError> {
        let until = Instant::now() + self.answer_timeout;
        loop {
            let fetched = self.attempt(topic.to_owned(), partitions.clone()).await;
            if fetched.is_ok() || Instant::now() > until {
                return fetched.during("asking how far its topics go", &self.observer);
            }
            tokio::time::sleep(RETRY_PAUSE).await;
            self.replace_client().await?;
        }
    }

    async fn attempt(&self, topic: String, partitions: Vec<i32>) -> KafkaResult<Vec<Watermarks>> {
        let (client, timeout) = (Arc::clone(&self.client.lock()), self.answer_timeout.min(ATTEMPT_MAX));
        let query = move |partition| {
            client.fetch_watermarks(&topic, partition, timeout).map(|(low, end)| Watermarks { partition, low, end })
        };
        let queried = tokio::task::spawn_blocking(move || partitions.into_iter().map(query).collect());
        queried.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Continues with a new client. A broker that has just started may report fewer partitions than there are, and a
    /// client keeps such metadata for minutes.
    async fn replace_client(&self) -> Result<(), QueueError> {
        let new = create(&self.config, &self.observer)?;
        let old = std::mem::replace(&mut *self.client.lock(), new);
        // Dropping a client blocks until its threads have ended.
        tokio::task::spawn_blocking(move || drop(old)).await.map_err(|_| QueueError::Closed)
    }
}

fn create(config: &ClientConfig, observer: &Observer) -> Result<Arc<QueryClient>, QueueError> {
    QueryClient::from_config_and_context(config, observer.clone()).map(Arc::new).client_created()
}
