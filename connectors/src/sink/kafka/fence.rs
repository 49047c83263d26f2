//! Who writes, and documents of which database, as the broker remembers it: an offset of the group that is named like the
//! writer, with the writer's number and the database's fingerprint as its metadata. It means nothing as an offset.

use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::clients::{self, TransactionalProducer};
use super::options::KafkaOptions;
use crate::kafka::client::{self, Observer};
use millstream_pipeline::binding::Binding;

const ELSEWHERE: &str = "give this one a topic of its own (kafka.topic), or delete the topic if that database is gone";

/// The mark of one writer. Its calls block.
pub(super) struct Mark {
    topic: String,
    reader_config: ClientConfig,
    observer: Observer,
    answer_timeout: Duration,
    /// Tells this writer from any other, ever.
    number: String,
    binding: Option<Binding>,
    every: Duration,
    put_at: Instant,
}

/// Whose mark is there.
pub(super) enum Found {
    Own,
    /// Another's, who writes documents of the same database, or does not say of which.
    Another,
    /// One for another database: what is wrong and what to do.
    Foreign(String),
    /// The broker forgets a mark that nobody has renewed for a week: no process had the topic in that week.
    Nothing,
}

impl Mark {
    pub(super) fn new(options: &KafkaOptions, observer: Observer) -> Self {
        Self {
            topic: options.topic.clone(),
            reader_config: clients::reader(options),
            observer,
            answer_timeout: options.answer_timeout,
            number: Uuid::new_v4().to_string(),
            binding: options.binding.clone(),
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
        first.set_metadata(self.text());
        producer.send_offsets_to_transaction(&mark, &group, self.answer_timeout)
    }

    /// Asks the broker. While the transaction of a mark is not decided it does not answer.
    pub(super) fn find(&self) -> Result<Found, KafkaError> {
        self.found_by(&self.reader()?)
    }

    /// What is wrong if it is the topic of another database. Answered at once, whatever is not decided yet.
    pub(super) fn foreign(&self) -> Result<Option<String>, KafkaError> {
        let mut config = self.reader_config.clone();
        config.set("isolation.level", "read_uncommitted");
        let found = self.found_by(&BaseConsumer::from_config_and_context(&config, self.observer.clone())?)?;
        Ok(if let Found::Foreign(difference) = found { Some(difference) } else { None })
    }

    fn found_by(&self, reader: &BaseConsumer<Observer>) -> Result<Found, KafkaError> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, 0);
        let committed = reader.committed_offsets(asked, self.answer_timeout);
        if committed.is_err() {
            client::hear(|| drop(reader.poll(Duration::ZERO)));
        }
        let committed = committed?;
        let Some(first) = committed.elements().into_iter().next() else { return Ok(Found::Nothing) };
        first.error()?;
        Ok(self.judge(first.metadata()))
    }

    /// The number; behind a space whose documents they are, which earlier versions did not say.
    fn text(&self) -> String {
        match &self.binding {
            Some(binding) => format!("{} {binding}", self.number),
            None => self.number.clone(),
        }
    }

    fn judge(&self, metadata: &str) -> Found {
        let (number, database) = metadata.split_once(' ').unwrap_or((metadata, ""));
        let binding = self.binding.as_ref().filter(|_| !database.is_empty());
        match binding.and_then(|binding| binding.difference(database, ELSEWHERE)) {
            Some(difference) => Found::Foreign(difference),
            None if number.is_empty() => Found::Nothing,
            None if number == self.number => Found::Own,
            None => Found::Another,
        }
    }

    fn reader(&self) -> Result<BaseConsumer<Observer>, KafkaError> {
        BaseConsumer::from_config_and_context(&self.reader_config, self.observer.clone())
    }
}
