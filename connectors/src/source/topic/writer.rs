//! The other side of our own change topic: a source of changes written into it, by whoever holds the replication slot.

use std::collections::VecDeque;
use std::time::Duration;

use millstream_pipeline::Change;
use millstream_pipeline::source::{ChangeSource, SourceError, SourceEvent, SourceStatus};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::form;
use super::topic::{self, ChangeTopicOptions};
use crate::kafka::client::connection;
use crate::kafka::errors::describe;

/// How long to wait for room in the producer's buffer when nothing of ours is in it.
const ROOM: Duration = Duration::from_millis(10);

/// How often a relay that has nothing to do says how its source is.
const LOOK: Duration = Duration::from_secs(1);

/// Why changes could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ChangeTopicError {
    /// Nothing was tried.
    #[error("the options of the change topic are not right: {}", faults.join("; "))]
    Options {
        /// All that is wrong, with what to do.
        faults: Vec<String>,
    },
    /// The brokers did not answer, or refused. Trying again may help.
    #[error("the change topic {topic} cannot be written to: {reason}")]
    Unavailable {
        /// The topic.
        topic: String,
        /// What came back.
        reason: String,
    },
    /// Some of the changes may not be in the topic. Write all of them again: twice does no harm.
    #[error("{failed} of {count} changes were not written to topic {topic}: {reason}")]
    Undelivered {
        /// The topic.
        topic: String,
        /// How many there were.
        count: usize,
        /// How many were not reported as written.
        failed: usize,
        /// The first reason.
        reason: String,
    },
    /// The source that was relayed cannot go on.
    #[error("the source of the relay failed")]
    Source(#[source] SourceError),
}

/// Writes changes to our own change topic: at least once, those of a document in their order.
pub struct ChangeTopicWriter {
    producer: FutureProducer<DefaultClientContext>,
    options: ChangeTopicOptions,
}

impl ChangeTopicWriter {
    /// A writer to a topic, which is made if it is not there.
    ///
    /// # Errors
    /// When the options are not right, or the brokers cannot be reached or refuse.
    pub async fn open(options: ChangeTopicOptions) -> Result<Self, ChangeTopicError> {
        options.check()?;
        let mut config = connection(&options.bootstrap_servers, &options.properties);
        topic::ensure(&options, &config).await?;
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

    /// Writes the record that a topic begins with: it carries no change, but the topic is not empty from then on.
    ///
    /// # Errors
    /// When it is not known that every broker that has to has it.
    pub async fn begin(&self) -> Result<(), ChangeTopicError> {
        let topic = self.options.topic.clone();
        let record: FutureRecord<'_, str, [u8]> = FutureRecord::to(&topic).payload(&form::BEGINNING);
        let failure = match self.producer.send_result(record) {
            Ok(report) => outcome(report).await,
            Err((error, _)) => Some(describe(&error)),
        };
        match failure {
            None => Ok(()),
            Some(reason) => Err(ChangeTopicError::Undelivered { topic, count: 1, failed: 1, reason }),
        }
    }

    /// Writes these changes, and returns when every broker that has to has them.
    ///
    /// # Errors
    /// When that is not known of one of them: write all of them again.
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
                            Some(report) => failures.extend(outcome(report).await),
                            None => tokio::time::sleep(ROOM).await,
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
            failures.extend(outcome(report).await);
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

/// Why a record was not written, by its own report.
async fn outcome(report: DeliveryFuture) -> Option<String> {
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

/// Copies a source into the topic until one of them fails. What was written is confirmed to the source, so the source's
/// own bookmark is all that has to be kept: begin again from there. `seen` hears, with each step and once a second, how the
/// source is and how many changes were written.
///
/// Dropping the future in the middle loses nothing either: what was not confirmed is written again.
///
/// # Errors
/// What the source or the topic says; it never ends otherwise.
pub async fn relay(
    source: &mut dyn ChangeSource,
    writer: &ChangeTopicWriter,
    mut seen: impl FnMut(SourceStatus, usize) + Send,
) -> Result<std::convert::Infallible, ChangeTopicError> {
    loop {
        // An event that is not handed out in time comes next time.
        let Ok(event) = tokio::time::timeout(LOOK, source.next()).await else {
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
