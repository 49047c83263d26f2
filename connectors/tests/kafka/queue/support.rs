//! Queues on a broker, and waits of the tests.

use std::time::Duration;

use millstream_connectors::queue::kafka::{KafkaQueue, KafkaQueueOptions};
use millstream_pipeline::queue::{QueueError, WorkQueue};
use millstream_testkit::{wait_for, wait_until};
use uuid::Uuid;

pub(crate) const PARTITIONS: u32 = 3;
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// Returns a prefix that no other test has.
pub(crate) fn new_prefix() -> String {
    format!("queue-{}", Uuid::new_v4().simple())
}

pub(crate) fn options(bootstrap_servers: &str, prefix: &str) -> KafkaQueueOptions {
    KafkaQueueOptions {
        partitions: PARTITIONS,
        session_timeout: Duration::from_secs(6),
        drain_deadline: Duration::from_secs(5),
        commit_interval: Duration::from_millis(50),
        answer_timeout: Duration::from_secs(10),
        ..KafkaQueueOptions::new(bootstrap_servers, prefix)
    }
}

/// Opens a queue, whose topics exist then.
pub(crate) async fn open(options: KafkaQueueOptions) -> KafkaQueue {
    // A new broker creates its internal topics first.
    wait_for("the queue to open", WITHIN, || async {
        match KafkaQueue::open(options.clone()).await {
            Err(QueueError::Unavailable { .. }) => None,
            Err(error) => panic!("{error}"),
            Ok(queue) => Some(queue),
        }
    })
    .await
}

/// Waits until this process has all partitions and has read them.
pub(crate) async fn join_alone(queue: &KafkaQueue) {
    assert_eq!(queue.take(0).await.expect("it takes part"), []);
    wait_until("all partitions to be read", WITHIN, || async {
        let membership = queue.membership().await.expect("an answer");
        membership.owned.len() == membership.partitions as usize && membership.unread == 0
    })
    .await;
}
