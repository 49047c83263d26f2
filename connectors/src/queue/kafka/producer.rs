//! Writes to the queue's topics. A record counts as written when its delivery report says so; until then it is retried.

use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::Backoff;
use millstream_pipeline::queue::QueueError;
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio_util::sync::CancellationToken;

use super::options::KafkaQueueOptions;
use crate::kafka::client::Observer;
use crate::kafka::errors::{QueueResultExt, Verdict, describe, verdict};

/// Pause while librdkafka's own queue is full.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

/// A record to be written.
#[derive(Debug, Clone)]
pub(super) struct OutgoingRecord {
    pub(super) topic: Arc<str>,
    /// Chosen by the key if `None`.
    pub(super) partition: Option<i32>,
    pub(super) key: Vec<u8>,
    /// `None` for a tombstone.
    pub(super) value: Option<Vec<u8>>,
    /// A header for people and tools.
    pub(super) header: Option<(&'static str, String)>,
}

/// The place of a record that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// The producer of one process. librdkafka gives a producer up after a fatal error; a new one then replaces it.
pub(super) struct QueueProducer {
    options: Arc<KafkaQueueOptions>,
    observer: Observer,
    producer: Mutex<FutureProducer<Observer>>,
    stop: CancellationToken,
}

/// A record in librdkafka's queue, or refused by it.
enum Enqueued {
    Pending(DeliveryFuture),
    Failed(KafkaError),
}

impl QueueProducer {
    pub(super) fn new(
        options: &Arc<KafkaQueueOptions>,
        observer: &Observer,
        stop: CancellationToken,
    ) -> Result<Self, QueueError> {
        let producer = Mutex::new(create(options, observer)?);
        Ok(Self { options: Arc::clone(options), observer: observer.clone(), producer, stop })
    }

    /// Writes all records, however long the brokers are unreachable, and returns their places. `None` stands for a
    /// record that could not be written at once and that `is_wanted` rejects by then, such as one of a removed lane.
    pub(super) async fn write(
        &self,
        records: &[OutgoingRecord],
        is_wanted: impl Fn(&OutgoingRecord) -> bool + Send,
    ) -> Result<Vec<Option<Written>>, QueueError> {
        let mut written = vec![None; records.len()];
        let mut open: Vec<usize> = (0..records.len()).collect();
        let mut backoff = Backoff::RECONNECT.attempts();
        loop {
            let failed = self.attempt(records, &open, &mut written).await?;
            let Some((_, reason)) = failed.first() else { return Ok(written) };
            if self.stop.is_cancelled() {
                return Err(QueueError::Closed);
            }
            let problem = self.observer.explain(reason);
            open = failed.iter().map(|(at, _)| *at).filter(|at| is_wanted(&records[*at])).collect();
            if open.is_empty() {
                return Ok(written);
            }
            let (records, pause) = (open.len(), backoff.fail());
            tracing::warn!(records, problem, ?pause, "failed to write records of the queue; retrying");
            tokio::select! {
                () = self.stop.cancelled() => return Err(QueueError::Closed),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Writes the records of `open` once. Returns those that failed, with reasons.
    async fn attempt(
        &self,
        records: &[OutgoingRecord],
        open: &[usize],
        written: &mut [Option<Written>],
    ) -> Result<Vec<(usize, String)>, QueueError> {
        let producer = self.current()?;
        let mut sent = Vec::with_capacity(open.len());
        for at in open {
            sent.push((*at, self.enqueue(&producer, &records[*at]).await?));
        }
        let mut failed = Vec::new();
        for (at, enqueued) in sent {
            let report = match enqueued {
                Enqueued::Pending(report) => report.await,
                Enqueued::Failed(error) => {
                    failed.push((at, retry_reason(&error)?));
                    continue;
                }
            };
            match report {
                Ok(Ok(delivery)) => {
                    written[at] = Some(Written { partition: delivery.partition, offset: delivery.offset });
                }
                Ok(Err((error, _))) => failed.push((at, retry_reason(&error)?)),
                Err(_) => failed.push((at, "the delivery report is missing".to_owned())),
            }
        }
        if failed.is_empty() {
            self.observer.answered();
        }
        Ok(failed)
    }

    async fn enqueue(
        &self,
        producer: &FutureProducer<Observer>,
        record: &OutgoingRecord,
    ) -> Result<Enqueued, QueueError> {
        loop {
            let mut message: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&record.topic).key(&record.key);
            message.partition = record.partition;
            if let Some(value) = &record.value {
                message = message.payload(value);
            }
            if let Some((key, text)) = &record.header {
                message = message.headers(OwnedHeaders::new().insert(Header { key, value: Some(text.as_str()) }));
            }
            match producer.send_result(message) {
                Ok(report) => return Ok(Enqueued::Pending(report)),
                Err((error, _)) if error.rdkafka_error_code() == Some(Code::QueueFull) => {}
                Err((error, _)) => return Ok(Enqueued::Failed(error)),
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(QueueError::Closed),
                () = tokio::time::sleep(QUEUE_FULL_PAUSE) => {}
            }
        }
    }

    fn current(&self) -> Result<FutureProducer<Observer>, QueueError> {
        let mut producer = self.producer.lock();
        if producer.client().fatal_error().is_some() {
            *producer = create(&self.options, &self.observer)?;
        }
        Ok(producer.clone())
    }
}

/// Returns the error as text if a retry may help; an error if the record itself was rejected.
fn retry_reason(error: &KafkaError) -> Result<String, QueueError> {
    let detail = describe(error);
    match error.rdkafka_error_code().map(verdict) {
        Some(Verdict::Rejected) => Err(QueueError::Storage { action: "writing", detail }),
        _ => Ok(detail),
    }
}

fn create(options: &KafkaQueueOptions, observer: &Observer) -> Result<FutureProducer<Observer>, QueueError> {
    FutureProducer::from_config_and_context(&options.producer_config(), observer.clone()).client_created()
}
