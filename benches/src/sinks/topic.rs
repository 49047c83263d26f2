//! A consumer of the documents topic that notes when each version of each document came.

use crate::setup::Failure;
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

type Seen = Arc<Mutex<HashMap<Uuid, Vec<(i64, Instant)>>>>;

/// Reads on until it is dropped.
pub(super) struct TopicReader {
    seen: Seen,
    task: JoinHandle<()>,
}

impl TopicReader {
    /// From the present end of the topic.
    pub(super) async fn begin(servers: &str, topic: &'static str) -> Result<Self, Failure> {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "bench-follower")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .create()?;
        let consumer = tokio::task::spawn_blocking(move || at_end(consumer, topic)).await??;
        let seen = Seen::default();
        let notes = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // What librdkafka reports as an error passes, or shows as an edit that never came.
            while let Ok(message) = consumer.recv().await {
                if let Some((uuid, version)) = identify(&message) {
                    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                    notes.entry(uuid).or_default().push((version, Instant::now()));
                }
            }
        });
        Ok(Self { seen, task })
    }

    /// When this version of a document, or a later one, came first.
    pub(super) fn seen(&self, uuid: Uuid, version: i64) -> Option<Instant> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&uuid)?.iter().find(|(came, _)| *came >= version).map(|(_, at)| *at)
    }
}

impl Drop for TopicReader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Assigns every partition at its present end, asked for now: an offset that is looked up later would skip what comes first.
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
