//! The conformance suites, on the local and the memory queue: for the cache queue, for a lane, and for the lanes together.

use std::sync::Arc;

use futures::future::BoxFuture;
use millstream_connectors::queue::local::{LocalQueue, LocalQueueOptions};
use millstream_pipeline::clock::ManualClock;
use millstream_pipeline::queue::conformance::lanes::{self, OpenQueue};
use millstream_pipeline::queue::conformance::{self, ATTEMPTS_MAX, QueueFixture};
use millstream_pipeline::queue::{MemoryQueue, WorkQueue};
use tempfile::TempDir;

struct OnDisk(TempDir);

impl Default for OnDisk {
    fn default() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }
}

impl lanes::LanesFixture for OnDisk {
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, OpenQueue> {
        Box::pin(async move {
            let options = LocalQueueOptions {
                attempts_max: ATTEMPTS_MAX,
                clock: Arc::new(clock),
                ..LocalQueueOptions::default()
            };
            let queue = Arc::new(LocalQueue::open(self.0.path(), options).await.expect("opens"));
            OpenQueue { cache_queue: Arc::<LocalQueue>::clone(&queue), lanes: queue }
        })
    }
}

#[derive(Default)]
struct InMemory(Option<Arc<MemoryQueue>>);

impl lanes::LanesFixture for InMemory {
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, OpenQueue> {
        let queue = self.0.get_or_insert_with(|| Arc::new(MemoryQueue::new(Arc::new(clock), ATTEMPTS_MAX)));
        queue.crash();
        let opened =
            OpenQueue { cache_queue: Arc::<MemoryQueue>::clone(queue), lanes: Arc::<MemoryQueue>::clone(queue) };
        Box::pin(std::future::ready(opened))
    }
}

/// The cache queue, with a lane beside it that is never emptied.
#[derive(Default)]
struct CacheQueue<F>(F);

impl<F: lanes::LanesFixture + Send> QueueFixture for CacheQueue<F> {
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, Arc<dyn WorkQueue>> {
        Box::pin(async move {
            let opened = self.0.open(clock).await;
            opened.lanes.add_lane("beside").await.expect("a lane");
            opened.cache_queue
        })
    }
}

/// One of two lanes of a queue.
#[derive(Default)]
struct Lane<F>(F);

impl<F: lanes::LanesFixture + Send> QueueFixture for Lane<F> {
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, Arc<dyn WorkQueue>> {
        Box::pin(async move {
            let opened = self.0.open(clock).await;
            opened.lanes.add_lane("beside").await.expect("a lane");
            opened.lanes.add_lane("under-test").await.expect("a lane")
        })
    }
}

#[tokio::test]
async fn the_local_queue_conforms() {
    conformance::run(CacheQueue::<OnDisk>::default).await;
}

#[tokio::test]
async fn a_lane_of_the_local_queue_conforms() {
    conformance::run(Lane::<OnDisk>::default).await;
}

#[tokio::test]
async fn the_lanes_of_the_local_queue_conform() {
    lanes::run(OnDisk::default).await;
}

#[tokio::test]
async fn the_memory_queue_conforms() {
    conformance::run(CacheQueue::<InMemory>::default).await;
}

#[tokio::test]
async fn a_lane_of_the_memory_queue_conforms() {
    conformance::run(Lane::<InMemory>::default).await;
}

#[tokio::test]
async fn the_lanes_of_the_memory_queue_conform() {
    lanes::run(InMemory::default).await;
}
