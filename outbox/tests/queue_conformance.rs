//! Every queue of this crate passes the suite.

use std::sync::Arc;

use futures::future::BoxFuture;
use millstream_outbox::clock::ManualClock;
use millstream_outbox::queue::conformance::{self, ATTEMPTS_MAX, Fixture};
use millstream_outbox::queue::{LocalQueue, LocalQueueOptions, MemoryQueue, WorkQueue};
use tempfile::TempDir;

struct OnDisk(TempDir);

impl Fixture for OnDisk {
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, Arc<dyn WorkQueue>> {
        Box::pin(async move {
            let options = LocalQueueOptions {
                attempts_max: ATTEMPTS_MAX,
                clock: Arc::new(clock),
                ..LocalQueueOptions::default()
            };
            let queue: Arc<dyn WorkQueue> = Arc::new(LocalQueue::open(self.0.path(), options).await.expect("opens"));
            queue
        })
    }
}

#[derive(Default)]
struct InMemory(Option<Arc<MemoryQueue>>);

impl Fixture for InMemory {
    fn open(&mut self, clock: ManualClock) -> BoxFuture<'_, Arc<dyn WorkQueue>> {
        let queue = self.0.get_or_insert_with(|| Arc::new(MemoryQueue::new(Arc::new(clock), ATTEMPTS_MAX)));
        queue.crash();
        let queue: Arc<dyn WorkQueue> = Arc::<MemoryQueue>::clone(queue);
        Box::pin(std::future::ready(queue))
    }
}

#[tokio::test]
async fn the_local_queue_conforms() {
    conformance::run(|| OnDisk(tempfile::tempdir().expect("a folder"))).await;
}

#[tokio::test]
async fn the_memory_queue_conforms() {
    conformance::run(InMemory::default).await;
}
