//! The writer fence: a record on the broker that names the topic's writer and the database of its documents.
//!
//! The record is a committed offset of the topic's partition 0, in the consumer group with the name of the topic's
//! `transactional.id`. Its metadata holds the writer's id and the database's fingerprint; the offset has no meaning.

use std::time::{Duration, Instant};

use millstream_pipeline::binding::Binding;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::clients::{self, TransactionalProducer};
use super::options::KafkaOptions;
use crate::kafka::client::{self, Observer};

const REMEDY: &str = "give this one a topic of its own (kafka.topic), or delete the topic if that database is gone";

/// The fence of one writer. Its methods block.
pub(super) struct WriterFence {
    topic: String,
    reader_config: ClientConfig,
    observer: Observer,
    answer_timeout: Duration,
    /// Unique id of this writer.
    writer: String,
    binding: Option<Binding>,
    renewal_interval: Duration,
    renewed_at: Instant,
}

/// The owner of the fence record on the broker.
pub(super) enum FenceOwner {
    /// This writer.
    Own,
    /// Another writer. It has the same database, or one of the two has no fingerprint.
    OtherWriter,
    /// A writer with another database. Contains the difference and the remedy.
    OtherDatabase(String),
    /// The record does not exist. The broker drops a record that was not renewed for a week; then no process has
    /// written to the topic for a week.
    Absent,
}

impl WriterFence {
    pub(super) fn new(options: &KafkaOptions, observer: Observer) -> Self {
        Self {
            topic: options.topic.clone(),
            reader_config: clients::reader(options),
            observer,
            answer_timeout: options.answer_timeout,
            writer: Uuid::new_v4().to_string(),
            binding: options.binding.clone(),
            renewal_interval: options.fence_interval,
            renewed_at: Instant::now(),
        }
    }

    /// Returns whether the record must be renewed.
    pub(super) fn is_due(&self) -> bool {
        self.renewed_at.elapsed() >= self.renewal_interval
    }

    /// Notes that a transaction with the fence record was committed.
    pub(super) fn renewed(&mut self) {
        self.renewed_at = Instant::now();
    }

    /// Adds the fence record to the producer's transaction.
    pub(super) fn add_to_transaction(&self, producer: &TransactionalProducer) -> Result<(), KafkaError> {
        let Some(group) = self.reader()?.group_metadata() else {
            return Err(KafkaError::ClientCreation("the reader of the writer fence has no group metadata".to_owned()));
        };
        let mut offsets = TopicPartitionList::new();
        let mut first = offsets.add_partition(&self.topic, 0);
        first.set_offset(Offset::Offset(0))?;
        first.set_metadata(self.metadata());
        producer.send_offsets_to_transaction(&offsets, &group, self.answer_timeout)
    }

    /// Reads the owner. The broker does not respond while a transaction with a fence record is open.
    pub(super) fn owner(&self) -> Result<FenceOwner, KafkaError> {
        self.read_owner(&self.reader()?)
    }

    /// Returns the difference if the topic belongs to another database. Does not wait for open transactions.
    pub(super) fn other_database(&self) -> Result<Option<String>, KafkaError> {
        let mut config = self.reader_config.clone();
        config.set("isolation.level", "read_uncommitted");
        let owner = self.read_owner(&BaseConsumer::from_config_and_context(&config, self.observer.clone())?)?;
        Ok(if let FenceOwner::OtherDatabase(difference) = owner { Some(difference) } else { None })
    }

    fn read_owner(&self, reader: &BaseConsumer<Observer>) -> Result<FenceOwner, KafkaError> {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition(&self.topic, 0);
        let committed = reader.committed_offsets(partitions, self.answer_timeout);
        if committed.is_err() {
            client::poll_errors(|| drop(reader.poll(Duration::ZERO)));
        }
        let committed = committed?;
        let Some(first) = committed.elements().into_iter().next() else { return Ok(FenceOwner::Absent) };
        first.error()?;
        Ok(self.classify(first.metadata()))
    }

    /// Returns the writer's id, a space and the database's fingerprint. Earlier versions wrote only the id.
    fn metadata(&self) -> String {
        match &self.binding {
            Some(binding) => format!("{} {binding}", self.writer),
            None => self.writer.clone(),
        }
    }

    fn classify(&self, metadata: &str) -> FenceOwner {
        let (writer, database) = metadata.split_once(' ').unwrap_or((metadata, ""));
        let binding = self.binding.as_ref().filter(|_| !database.is_empty());
        match binding.and_then(|binding| binding.difference(database, REMEDY)) {
            Some(difference) => FenceOwner::OtherDatabase(difference),
            None if writer.is_empty() => FenceOwner::Absent,
            None if writer == self.writer => FenceOwner::Own,
            None => FenceOwner::OtherWriter,
        }
    }

    fn reader(&self) -> Result<BaseConsumer<Observer>, KafkaError> {
        BaseConsumer::from_config_and_context(&self.reader_config, self.observer.clone())
    }
}
