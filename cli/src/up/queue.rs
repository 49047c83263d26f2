//! The durable queue of a process: on local disk, or in Kafka, shared with other processes.

use super::options;
use crate::{config::Config, database::binding, failure::Failure};
use millstream_connectors::queue::kafka::KafkaQueue;
use millstream_connectors::queue::local::LocalQueue;
use millstream_pipeline::queue::{Lanes, QueueError, WorkQueue};
use millstream_store::connect::Database;
use std::{sync::Arc, time::Duration};

/// Pause before unreachable brokers are tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The durable queue.
#[derive(Debug, Clone)]
pub(crate) enum Queue {
    Local(Arc<LocalQueue>),
    Kafka(KafkaQueue),
}

impl Queue {
    /// Opens the queue of this database. Retries while brokers are unreachable: a process may start together with them.
    pub(crate) async fn open(config: &Config, database: &Database) -> Result<Self, Failure> {
        let binding = binding(database).await?;
        if !config.queue.in_kafka {
            let queue = LocalQueue::open(&config.queue.dir, options::queue(config, binding)).await;
            return Ok(Self::Local(Arc::new(queue.map_err(Failure::failed)?)));
        }
        let options = options::kafka_queue(config, binding)?;
        loop {
            match KafkaQueue::open(options.clone()).await {
                Ok(queue) => return Ok(Self::Kafka(queue)),
                Err(error @ QueueError::Unavailable { .. }) => {
                    tracing::warn!(error = %Failure::failed(error), "failed to reach the queue; retrying");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(Failure::failed(error)),
            }
        }
    }

    /// Opens an existing queue; `None` for a data folder that was never used.
    pub(crate) async fn open_existing(config: &Config, database: &Database) -> Result<Option<Self>, Failure> {
        let exists = config.queue.in_kafka || config.queue.dir.is_dir();
        if exists { Self::open(config, database).await.map(Some) } else { Ok(None) }
    }

    pub(crate) fn work(&self) -> Arc<dyn WorkQueue> {
        match self {
            Self::Local(queue) => Arc::<LocalQueue>::clone(queue),
            Self::Kafka(queue) => Arc::new(queue.clone()),
        }
    }

    pub(crate) fn lanes(&self) -> Arc<dyn Lanes> {
        match self {
            Self::Local(queue) => Arc::<LocalQueue>::clone(queue),
            Self::Kafka(queue) => Arc::new(queue.clone()),
        }
    }

    /// Flushes a queue on local disk; leaves the consumer group of a shared queue.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        match self {
            Self::Local(queue) => queue.close().await.map_err(Failure::failed),
            Self::Kafka(queue) => {
                queue.close().await;
                Ok(())
            }
        }
    }
}
