//! The durable queue of a process: on its own disk, or in Kafka, shared with others.

use super::options;
use crate::{config::Config, database::binding, failure::Failure};
use millstream_connectors::queue::kafka::KafkaQueue;
use millstream_connectors::queue::local::LocalQueue;
use millstream_pipeline::queue::{Lanes, QueueError, WorkQueue};
use millstream_store::connect::Database;
use std::{sync::Arc, time::Duration};

/// Pause before brokers that cannot be reached are tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where work waits.
#[derive(Debug, Clone)]
pub(crate) enum Queue {
    Local(Arc<LocalQueue>),
    Kafka(KafkaQueue),
}

impl Queue {
    /// Opens the queue of this database. Brokers that are away are waited for: a process that starts with them is no
    /// failure.
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
                    tracing::warn!(problem = %Failure::failed(error), "the queue cannot be reached yet: trying again");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(Failure::failed(error)),
            }
        }
    }

    /// The queue, where there is one already: a folder that was never used has none.
    pub(crate) async fn open_if_there(config: &Config, database: &Database) -> Result<Option<Self>, Failure> {
        let there = config.queue.in_kafka || config.queue.dir.is_dir();
        if there { Self::open(config, database).await.map(Some) } else { Ok(None) }
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

    /// Ends it: what is on local disk is flushed, what a group of processes shares is let go of.
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
