//! The conformance suites, for the cache queue, for a lane, and for the lanes together.

use std::sync::Arc;

use futures::future::BoxFuture;
use millstream_connectors::queue::kafka::{KafkaQueue, KafkaQueueOptions};
use millstream_pipeline::clock::ManualClock;
use millstream_pipeline::queue::conformance::lanes::{self, OpenQueue};
use millstream_pipeline::queue::conformance::{self, ATTEMPTS_MAX, QueueFixture};
use millstream_pipeline::queue::{LaneInfo, Lanes, QueueError, WorkQueue};
use millstream_testkit::KafkaBroker;

use super::support::{join_alone, new_prefix, open, options};

/// A queue of its own on the shared broker.
struct OnBroker {
    servers: String,
    prefix: String,
}

impl OnBroker {
    fn new(broker: &KafkaBroker) -> Self {
        Self { servers: broker.bootstrap_servers(), prefix: new_prefix() }
    }

    async fn queue(&self, clock: ManualClock) -> KafkaQueue {
        let queue = open(KafkaQueueOptions {
            attempts_max: ATTEMPTS_MAX,
            clock: Arc::new(clock),
            ..options(&self.servers, &self.prefix)
        })
        .await;
        join_alone(&queue).await;
        queue
    }
}

/// Lanes whose groups this process joins at once. Before that a shared queue hands out nothing, and counts records
/// instead of entries.
struct Joining(KafkaQueue);

impl Joining {
    async fn joined(&self, name: &str) -> Result<Option<Arc<dyn WorkQueue>>, QueueError> {
        let Some(lane) = self.0.kafka_lane(name).await? else { return Ok(None) };
        let paused = self.0.lanes().await?.iter().any(|lane| lane.name == name && lane.paused);
        join_alone(&lane).await;
        assert!(!paused || lane.take(1).await?.is_empty());
        Ok(Some(Arc::new(lane)))
    }
}

impl Lanes for Joining {
    fn add_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn WorkQueue>, QueueError>> {
        Box::pin(async move {
            let lane = self.0.add_lane(name).await?;
            Ok(self.joined(name).await?.unwrap_or(lane))
        })
    }

    fn remove_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, QueueError>> {
        self.0.remove_lane(name)
    }

    fn lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn WorkQueue>>, QueueError>> {
        Box::pin(self.joined(name))
    }

    fn lanes(&self) -> BoxFuture<'_, Result<Vec<LaneInfo>, QueueError>> {
        self.0.lanes()
    }

    fn set_paused<'a>(&'a self, name: &'a str, paused: bool) -> BoxFuture<'a, Result<(), QueueError>> {
        self.0.set_paused(name, paused)
    }

    fn set_note<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        note: Option<Vec<u8>>,
    ) -> BoxFuture<'a, Result<(), QueueError>> {
        self.0.set_note(name, key, note)
    }

    fn note<'a>(&'a self, name: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, QueueError>> {
        self.0.note(name, key)
    }
}

struct CacheQueue(OnBroker);

impl QueueFixture for CacheQueue {
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, Arc<dyn WorkQueue>> {
        Box::pin(async move { Arc::new(self.0.queue(clock).await) as Arc<dyn WorkQueue> })
    }

    fn remembers_what_is_settled(&self) -> bool {
        false
    }
}

struct Lane(OnBroker);

impl QueueFixture for Lane {
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, Arc<dyn WorkQueue>> {
        Box::pin(async move {
            let lanes = Joining(self.0.queue(clock).await);
            lanes.add_lane("under-test").await.expect("a lane")
        })
    }

    fn remembers_what_is_settled(&self) -> bool {
        false
    }
}

struct All(OnBroker);

impl lanes::LanesFixture for All {
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, OpenQueue> {
        Box::pin(async move {
            let queue = self.0.queue(clock).await;
            OpenQueue { cache_queue: Arc::new(queue.clone()), lanes: Arc::new(Joining(queue)) }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_conforms() {
    let broker = KafkaBroker::shared().await;
    conformance::run(|| CacheQueue(OnBroker::new(broker))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_conforms() {
    let broker = KafkaBroker::shared().await;
    conformance::run(|| Lane(OnBroker::new(broker))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lanes_conform() {
    let broker = KafkaBroker::shared().await;
    lanes::run(|| All(OnBroker::new(broker))).await;
}
