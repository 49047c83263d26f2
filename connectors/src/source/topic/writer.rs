//! The writing side of Millstream's own change topic, for the process that reads the replication slot.

use std::collections::VecDeque;
use std::time::Duration;

use millstream_pipeline::Change;
use millstream_pipeline::source::{ChangeSource, SourceEvent, SourceStatus};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::change_topic::{self, ChangeTopicError, ChangeTopicOptions};
use super::form;
use crate::kafka::client::connection;
use crate::kafka::errors::describe;

/// Pause before a retry when the producer's buffer is full and contains none of the writer's own records.
const BUFFER_FULL_PAUSE: Duration = Duration::from_millis(10);

/// Interval at which an idle relay reports the status of its source.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Writes changes to Millstream's own change topic, at least once. The changes of one document stay in order.
pub struct ChangeTopicWriter {
    producer: FutureProducer<DefaultClientContext>,
    options: ChangeTopicOptions,
}

impl ChangeTopicWriter {
    /// Opens a writer. Creates the topic if it does not exist.
    ///
    /// # Errors
    /// The options are invalid, or the brokers refuse or cannot be reached.
    pub async fn open(options: ChangeTopicOptions) -> Result<Self, ChangeTopicError> {
        options.check()?;
        let mut config = connection(&options.bootstrap_servers, &options.properties);
        change_topic::ensure(&options, &config).await?;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", options.answer_timeout.as_millis().to_string());
        let producer = FutureProducer::from_config(&config).map_err(|error| ChangeTopicError::Unavailable {
            topic: options.topic.clone(),
            reason: describe(&error),
        })?;
        Ok(Self { producer, options })
    }

    /// Writes the first record of a topic. It carries no change; its purpose is that the topic is not empty.
    ///
    /// # Errors
    /// The record is not known to be on all required replicas.
    pub async fn begin(&self) -> Result<(), ChangeTopicError> {
        let topic = self.options.topic.clone();
        let record: FutureRecord<'_, str, [u8]> = FutureRecord::to(&topic).payload(&form::BEGINNING);
        let failure = match self.producer.send_result(record) {
            Ok(report) => delivery_error(report).await,
            Err((error, _)) => Some(describe(&error)),
        };
        match failure {
            None => Ok(()),
            Some(reason) => Err(ChangeTopicError::Undelivered { topic, count: 1, failed: 1, reason }),
        }
    }

    /// Writes these changes and returns when all required replicas have them.
    ///
    /// # Errors
    /// That is not known of at least one change: write all of them again.
    pub async fn write(&self, changes: &[Change]) -> Result<(), ChangeTopicError> {
        let mut reports: VecDeque<DeliveryFuture> = VecDeque::with_capacity(changes.len());
        let mut failures = Vec::new();
        for change in changes {
            let (key, value) = (form::key(change), form::encode(change));
            let mut record = FutureRecord::to(&self.options.topic).key(&key).payload(&value);
            loop {
                match self.producer.send_result(record) {
                    Ok(report) => {
                        reports.push_back(report);
                        break;
                    }
                    Err((KafkaError::MessageProduction(Code::QueueFull), refused)) => {
                        record = refused;
                        match reports.pop_front() {
                            Some(report) => failures.extend(delivery_error(report).await),
                            None => tokio::time::sleep(BUFFER_FULL_PAUSE).await,
                        }
                    }
                    Err((error, _)) => {
                        failures.push(describe(&error));
                        break;
                    }
                }
            }
        }
        for report in reports {
            failures.extend(delivery_error(report).await);
        }
        let (count, failed) = (changes.len(), failures.len());
        match failures.into_iter().next() {
            None => Ok(()),
            Some(reason) => {
                Err(ChangeTopicError::Undelivered { topic: self.options.topic.clone(), count, failed, reason })
            }
        }
    }
}

/// Waits for a record's delivery report and returns its error, if any.
async fn delivery_error(report: DeliveryFuture) -> Option<String> {
    match report.await {
        Ok(Ok(_)) => None,
        Ok(Err((error, _))) => Some(describe(&error)),
        Err(_) => Some("the producer ended before its report".to_owned()),
    }
}

impl std::fmt::Debug for ChangeTopicWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeTopicWriter")
            .field("options", &self.options)
            .field("in_flight", &self.producer.in_flight_count())
            .finish()
    }
}

/// Copies a source into the topic until one of them fails. Confirms every written position to the source, so the
/// source's own position is the only state to keep. Calls `seen` after each step, and at least once a second, with the
/// source's status and the number of changes written.
///
/// Dropping the future loses nothing: the next relay writes unconfirmed changes again.
///
/// # Errors
/// The error of the source or of the topic. The relay never returns otherwise.
pub async fn relay(
    source: &mut dyn ChangeSource,
    writer: &ChangeTopicWriter,
    mut seen: impl FnMut(SourceStatus, usize) + Send,
) -> Result<std::convert::Infallible, ChangeTopicError> {
    loop {
        // `next` is cancel safe: a later call returns the event.
        let Ok(event) = tokio::time::timeout(STATUS_INTERVAL, source.next()).await else {
            seen(source.status(), 0);
            continue;
        };
        let event = event.map_err(ChangeTopicError::Source)?;
        let position = event.position();
        let mut written = 0;
        if let SourceEvent::Changes(batch) = event {
            writer.write(&batch.changes).await?;
            written = batch.changes.len();
        }
        source.confirm(position);
        seen(source.status(), written);
    }
}
