//! A consumer of the documents topic that records when each version of each document arrived.

use crate::failure::Failure;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use uuid::Uuid;

const METADATA_TIMEOUT: Duration = Duration::from_secs(30);

type Arrivals = Arc<Mutex<HashMap<Uuid, Vec<(i64, Instant)>>>>;

/// The consumer; dropping it stops it.
pub(super) struct TopicReader {
    arrivals: Arrivals,
    task: JoinHandle<()>,
}

impl TopicReader {
    /// Starts at the current end of the topic.
    pub(super) async fn start(servers: &str, topic: &'static str) -> Result<Self, Failure> {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "bench-follower")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .create()?;
        let consumer = tokio::task::spawn_blocking(move || at_end(consumer, topic)).await??;
        let arrivals = Arrivals::default();
        let shared = Arc::clone(&arrivals);
        let task = tokio::spawn(async move {
            // Errors of librdkafka are temporary, or show as an edit that never arrives.
            while let Ok(message) = consumer.recv().await {
                if let Some((uuid, version)) = identify(&message) {
                    let mut arrivals = shared.lock().unwrap_or_else(PoisonError::into_inner);
                    arrivals.entry(uuid).or_default().push((version, Instant::now()));
                }
            }
        });
        Ok(Self { arrivals, task })
    }

    /// Returns when this version of a document, or a later one, first arrived.
    pub(super) fn arrival(&self, uuid: Uuid, version: i64) -> Option<Instant> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.get(&uuid)?.iter().find(|(arrived, _)| *arrived >= version).map(|(_, at)| *at)
    }
}

impl Drop for TopicReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Assigns every partition at its current end. The offsets are read now, because a later lookup could skip records.
fn at_end(consumer: StreamConsumer, topic: &str) -> Result<StreamConsumer, Failure> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT)?;
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (_, end) = consumer.fetch_watermarks(topic, partition.id(), METADATA_TIMEOUT)?;
        all.add_partition_offset(topic, partition.id(), Offset::Offset(end))?;
    }
    consumer.assign(&all)?;
    Ok(consumer)
}

fn identify(message: &impl Message) -> Option<(Uuid, i64)> {
    let uuid = Uuid::try_parse_ascii(message.key()?).ok()?;
    let version = message.headers()?.iter().find(|header| header.key == "contentVersion")?.value?;
    Some((uuid, std::str::from_utf8(version).ok()?.parse().ok()?))
}
