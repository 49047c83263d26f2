//! Who writes, as the broker remembers it: an offset of the group that is named like the writer, with the writer's number
//! as its metadata. It means nothing as an offset.

use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::client::{self, Observer, TransactionalProducer};
use super::options::KafkaOptions;

/// The mark of one writer. Its calls block.
pub(super) struct Mark {
    topic: String,
    reader_config: ClientConfig,
    observer: Observer,
    answer_timeout: Duration,
    /// Tells this writer from any other, ever.
    number: String,
    every: Duration,
    put_at: Instant,
}

/// Whose mark is there.
pub(super) enum Found {
    Own,
    Another,
    /// The broker forgets a mark after a week without a batch that renewed it: nobody wrote in that week.
    Nothing,
}

impl Mark {
    pub(super) fn new(options: &KafkaOptions, observer: Observer) -> Self {
        Self {
            topic: options.topic.clone(),
            reader_config: client::reader(options),
            observer,
            answer_timeout: options.answer_timeout,
            number: Uuid::new_v4().to_string(),
            every: options.mark_every,
            put_at: Instant::now(),
        }
    }

    /// Whether it is time to renew it.
    pub(super) fn is_due(&self) -> bool {
        self.put_at.elapsed() >= self.every
    }

    /// The transaction that puts it was committed.
    pub(super) fn was_put(&mut self) {
        self.put_at = Instant::now();
    }

    /// Makes it part of the producer's transaction.
    pub(super) fn put_by(&self, producer: &TransactionalProducer) -> Result<(), KafkaError> {
        let Some(group) = self.reader()?.group_metadata() else {
            return Err(KafkaError::ClientCreation("a reader without a group".to_owned()));
        };
        let mut mark = TopicPartitionList::new();
        let mut first = mark.add_partition(&self.topic, 0);
        first.set_offset(Offset::Offset(0))?;
        first.set_metadata(&self.number);
        producer.send_offsets_to_transaction(&mark, &group, self.answer_timeout)
    }

    /// Asks the broker.
    pub(super) fn find(&self) -> Result<Found, KafkaError> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, 0);
        let committed = self.reader()?.committed_offsets(asked, self.answer_timeout)?;
        let Some(first) = committed.elements().into_iter().next() else { return Ok(Found::Nothing) };
        first.error()?;
        Ok(match first.metadata() {
            "" => Found::Nothing,
            number if number == self.number => Found::Own,
            _ => Found::Another,
        })
    }

    fn reader(&self) -> Result<BaseConsumer<Observer>, KafkaError> {
        BaseConsumer::from_config_and_context(&self.reader_config, self.observer.clone())
    }
}
