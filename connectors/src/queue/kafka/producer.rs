//! Writing to the queue's topics: a record is written when its own report says so, and tried until then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_pipeline::queue::QueueError;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio_util::sync::CancellationToken;

use super::clients;
use super::options::KafkaQueueOptions;
use super::topics::unusable;
use crate::kafka::client::Observer;
use crate::kafka::errors::{Verdict, describe, verdict};
use millstream_pipeline::Backoff;

const WRITING: &str = "writing";
/// Pause while librdkafka's own queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// A record to be written.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) topic: Arc<str>,
    /// Chosen by the key if not given.
    pub(super) partition: Option<i32>,
    pub(super) key: Vec<u8>,
    /// `None` says that there is nothing under the key any more.
    pub(super) value: Option<Vec<u8>>,
    /// Said beside it, for people and tools.
    pub(super) note: Option<Note>,
}

/// A header of a record.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// Where a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// The producer of one process, and those that follow it: librdkafka gives one up after some errors.
pub(super) struct QueueProducer {
    options: KafkaQueueOptions,
    observer: Observer,
    producer: Mutex<FutureProducer<Observer>>,
    stop: CancellationToken,
}

impl QueueProducer {
    pub(super) fn new(
        options: &KafkaQueueOptions,
        observer: &Observer,
        stop: CancellationToken,
    ) -> Result<Self, QueueError> {
        let producer = Mutex::new(make(options, observer)?);
        Ok(Self { options: options.clone(), observer: observer.clone(), producer, stop })
    }

    /// Writes all of them, however long the brokers are away, and tells where each is. `None` for records that
    /// `is_wanted` no longer wants, when they could not be written at once: those of a lane that was removed.
    pub(super) async fn write(
        &self,
        records: &[Outgoing],
        is_wanted: impl Fn(&Outgoing) -> bool + Send,
    ) -> Result<Vec<Option<Written>>, QueueError> {
        let mut written = vec![None; records.len()];
        let mut open: Vec<usize> = (0..records.len()).collect();
        let mut backoff = Backoff::RECONNECT.attempts();
        loop {
            let failed = self.attempt(records, &open, &mut written).await?;
            let Some((_, problem)) = failed.first() else { return Ok(written) };
            let problem = self.observer.explain(problem);
            open = failed.iter().map(|(at, _)| *at).filter(|at| is_wanted(&records[*at])).collect();
            if open.is_empty() {
                return Ok(written);
            }
            let (records, pause) = (open.len(), backoff.fail());
            tracing::warn!(records, problem, ?pause, "records of the queue could not be written yet: trying again");
            tokio::select! {
                () = self.stop.cancelled() => return Err(QueueError::Closed),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Writes those of `open`; answers which failed for now, and why.
    async fn attempt(
        &self,
        records: &[Outgoing],
        open: &[usize],
        written: &mut [Option<Written>],
    ) -> Result<Vec<(usize, String)>, QueueError> {
        let producer = self.current()?;
        let mut sent = Vec::with_capacity(open.len());
        for at in open {
            sent.push((*at, self.enqueue(&producer, &records[*at]).await?));
        }
        let mut failed = Vec::new();
        for (at, report) in sent {
            let report = match report {
                Ok(report) => report.await,
                Err(error) => {
                    failed.push((at, self.judge(&error)?));
                    continue;
                }
            };
            match report {
                Ok(Ok(delivery)) => {
                    written[at] = Some(Written { partition: delivery.partition, offset: delivery.offset });
                }
                Ok(Err((error, _))) => failed.push((at, self.judge(&error)?)),
                Err(_) => failed.push((at, "its report did not come".to_owned())),
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
        record: &Outgoing,
    ) -> Result<Result<DeliveryFuture, KafkaError>, QueueError> {
        loop {
            let mut message: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&record.topic).key(&record.key);
            message.partition = record.partition;
            if let Some(value) = &record.value {
                message = message.payload(value);
            }
            if let Some(Note { name, text }) = &record.note {
                message = message.headers(OwnedHeaders::new().insert(Header { key: name, value: Some(text.as_str()) }));
            }
            match producer.send_result(message) {
                Ok(report) => return Ok(Ok(report)),
                Err((error, _)) if error.rdkafka_error_code() == Some(Code::QueueFull) => {}
                Err((error, _)) => return Ok(Err(error)),
            }
            tokio::select! {
                () = self.stop.cancelled() => return Err(QueueError::Closed),
                () = tokio::time::sleep(FULL_PAUSE) => {}
            }
        }
    }

    /// The error in words, if trying again may help.
    fn judge(&self, error: &KafkaError) -> Result<String, QueueError> {
        let detail = describe(error);
        match error.rdkafka_error_code().map(verdict) {
            Some(Verdict::Rejected) => Err(QueueError::Storage { action: WRITING, detail }),
            _ => Ok(detail),
        }
    }

    fn current(&self) -> Result<FutureProducer<Observer>, QueueError> {
        // Nothing panics while it holds the lock.
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if producer.client().fatal_error().is_some() {
            *producer = make(&self.options, &self.observer)?;
        }
        Ok(producer.clone())
    }
}

fn make(options: &KafkaQueueOptions, observer: &Observer) -> Result<FutureProducer<Observer>, QueueError> {
    FutureProducer::from_config_and_context(&clients::producer(options), observer.clone()).map_err(unusable)
}
