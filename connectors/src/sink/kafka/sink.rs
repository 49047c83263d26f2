//! The sink: encodes deliveries into records and maps transactions to outcomes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Limits, Outcome, RetryCause, Scan, Sink, SinkError};
use rdkafka::error::KafkaError;
use tokio::sync::Mutex;

use super::envelope::{DocumentRecord, ResourceNames, encode};
use super::fence::WriterFence;
use super::options::{KafkaOptions, KafkaOptionsError};
use super::scan::TopicScan;
use super::topic;
use super::writer::{DeliveryReport, TopicWriter, TransactionEnd, WriterClosed};
use crate::kafka::client::Observer;
use crate::kafka::errors::{Verdict, outcome, verdict};
use crate::kafka::partition_of;

/// Batch limits. A transaction costs the same for one record as for thousands; larger batches gain little and take
/// memory.
const BATCH_DOCUMENTS_MAX: usize = 4_000;
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Transactions run one at a time. With two `put`s in flight, one is encoded while the other commits.
const IN_FLIGHT_MAX: usize = 2;

/// Maximum immediate retries of transactions within one `put`.
const REPEATS_MAX: usize = 2;

/// Records with the indexes of their deliveries.
type RecordBatch = Vec<(usize, Arc<DocumentRecord>)>;

/// A documents topic, with this process as its only writer.
pub struct KafkaSink {
    options: KafkaOptions,
    names: Arc<ResourceNames>,
    observer: Observer,
    writer: Arc<Mutex<TopicWriter>>,
}

impl KafkaSink {
    /// Creates the sink. [`Sink::prepare`] connects.
    ///
    /// # Errors
    /// The options are invalid; the error lists every fault.
    pub fn new(options: KafkaOptions) -> Result<Self, KafkaOptionsError> {
        options.check()?;
        let observer = Observer::default();
        let writer = Arc::new(Mutex::new(TopicWriter::new(&options, observer.clone())));
        Ok(Self { names: Arc::new(ResourceNames::new(&options.resources)), options, observer, writer })
    }

    /// Refuses the topic of another database, before it changes the topic or fences its writer.
    async fn check_ownership(&self) -> Result<(), SinkError> {
        if self.options.binding.is_none() {
            return Ok(());
        }
        let sink = self.describe();
        let fence = WriterFence::new(&self.options, self.observer.clone());
        match tokio::task::spawn_blocking(move || fence.other_database()).await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(difference))) => Err(SinkError::Incompatible { sink, differences: vec![difference] }),
            Ok(Err(error)) => Err(topic::unavailable(&sink, &self.observer, &error)),
            Err(error) => Err(SinkError::Broken { sink, reason: format!("the request stopped: {error}") }),
        }
    }

    async fn open(&self) -> Result<(), SinkError> {
        self.check_ownership().await?;
        topic::ensure(&self.options, &self.observer, &self.describe()).await?;
        self.with_writer(TopicWriter::open).await
    }

    async fn with_writer(&self, work: fn(&mut TopicWriter) -> Result<(), WriterClosed>) -> Result<(), SinkError> {
        let sink = self.describe();
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        match tokio::task::spawn_blocking(move || work(&mut writer)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(WriterClosed::Unavailable(reason))) => Err(SinkError::Unavailable { sink, reason }),
            Ok(Err(WriterClosed::NotOurs(reason))) => Err(SinkError::Incompatible { sink, differences: vec![reason] }),
            Err(error) => Err(SinkError::Broken { sink, reason: format!("its writer stopped: {error}") }),
        }
    }

    /// Encodes a delivery. The error is its outcome.
    fn record(&self, delivery: &Delivery) -> Result<DocumentRecord, Outcome> {
        let record = encode(delivery, &self.names).map_err(|error| Outcome::Rejected { reason: error.to_string() })?;
        let (bytes, ceiling) = (record.bytes_max(), self.options.record_bytes_max);
        if bytes > ceiling {
            let reason = format!(
                "the record has up to {bytes} bytes, but the limit is {ceiling}: raise the record limit and max.message.bytes"
            );
            return Err(Outcome::Rejected { reason });
        }
        Ok(record)
    }

    async fn deliver(&self, deliveries: &[Delivery]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; deliveries.len()];
        let mut first = Vec::with_capacity(deliveries.len());
        for (at, delivery) in deliveries.iter().enumerate() {
            match self.record(delivery) {
                Ok(record) => first.push((at, Arc::new(record))),
                Err(outcome) => outcomes[at] = Some(outcome),
            }
        }
        let mut batches = vec![first];
        let mut repeats = REPEATS_MAX;
        let mut paced = true;
        while let Some(batch) = batches.pop() {
            if batch.is_empty() {
                continue;
            }
            let records = batch.iter().map(|(_, record)| Arc::clone(record)).collect();
            let end = self.send(records, paced).await;
            // Retries have already waited.
            paced = false;
            if repeats > 0 && is_retried_whole(&end) {
                repeats -= 1;
                batches.push(batch);
                continue;
            }
            batches.extend(self.classify(end, batch, &mut outcomes));
        }
        let missing = || Outcome::retry(RetryCause::Failed, "the sink has no outcome for it");
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)).collect()
    }

    /// Runs one transaction. It completes even if the caller stops waiting.
    async fn send(&self, records: Vec<Arc<DocumentRecord>>, paced: bool) -> TransactionEnd {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        let pause = writer.pause(records.len());
        // A sleep of zero takes a millisecond.
        if paced && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let sent = tokio::task::spawn_blocking(move || writer.send(&records)).await;
        sent.unwrap_or_else(|error| TransactionEnd::Unknown(format!("the writer stopped: {error}")))
    }

    /// Sets the outcomes that are known now, and returns the batches to send again.
    fn classify(&self, end: TransactionEnd, batch: RecordBatch, outcomes: &mut [Option<Outcome>]) -> Vec<RecordBatch> {
        let all_down = self.observer.all_down();
        let mut all = |outcome: &Outcome| {
            for (at, _) in &batch {
                outcomes[*at] = Some(outcome.clone());
            }
            Vec::new()
        };
        match end {
            TransactionEnd::Committed(reports) => {
                for ((at, _), report) in batch.iter().zip(reports) {
                    outcomes[*at] = Some(report.map_or_else(|error| outcome(&error, all_down), |()| Outcome::Done));
                }
                Vec::new()
            }
            TransactionEnd::RolledBack(reports, reason) => {
                self.classify_rolled_back(&reports, &reason, batch, outcomes)
            }
            TransactionEnd::Unknown(reason) => all(&Outcome::retry(RetryCause::Unanswered, reason)),
            TransactionEnd::Closed(WriterClosed::Unavailable(reason) | WriterClosed::NotOurs(reason)) => {
                all(&Outcome::retry(RetryCause::Unavailable, reason))
            }
        }
    }

    /// Handles a rolled back transaction. A record that the broker rejects aborts the whole transaction. The broker
    /// rejects whole batches, so each of several rejected records is sent again alone, to find the faulty one; the
    /// others are sent again together.
    fn classify_rolled_back(
        &self,
        reports: &[DeliveryReport],
        reason: &str,
        batch: RecordBatch,
        outcomes: &mut [Option<Outcome>],
    ) -> Vec<RecordBatch> {
        let all_down = self.observer.all_down();
        let rejected = |report: &DeliveryReport| report.as_ref().is_err_and(is_rejected);
        let alone = batch.len() == 1;
        let any_rejected = reports.iter().any(rejected);
        let mut again = vec![Vec::new()];
        for ((at, record), report) in batch.into_iter().zip(reports) {
            match report {
                report if any_rejected && !alone && rejected(report) => again.push(vec![(at, record)]),
                _ if any_rejected && !alone => again[0].push((at, record)),
                Err(error) => outcomes[at] = Some(outcome(error, all_down)),
                // The record was written and rolled back with the others: the document is not the cause.
                Ok(()) => {
                    outcomes[at] = Some(Outcome::retry(RetryCause::Unavailable, self.observer.explain(reason)));
                }
            }
        }
        again
    }

    async fn find(&self, keys: &[DocumentKey]) -> Result<Vec<Option<Bytes>>, SinkError> {
        self.check_ownership().await?;
        let partition = |key: &DocumentKey| {
            let text = key.uuid.hyphenated().to_string();
            partition_of(text.as_bytes(), self.options.partitions).cast_signed()
        };
        let mut only: Vec<i32> = keys.iter().map(partition).collect();
        only.sort_unstable();
        only.dedup();
        let mut found: Vec<(i64, Option<Bytes>)> = vec![(i64::MIN, None); keys.len()];
        let mut places: std::collections::HashMap<_, Vec<usize>> = std::collections::HashMap::new();
        for (at, key) in keys.iter().enumerate() {
            places.entry(key.uuid).or_default().push(at);
        }
        let mut scan =
            TopicScan::begin(&self.options, (&self.observer, &self.names), &self.describe(), Some(only)).await?;
        loop {
            let page = scan.next().await?;
            if page.is_empty() {
                return Ok(found.into_iter().map(|(_, json)| json).collect());
            }
            for held in page {
                for at in places.get(&held.uuid).into_iter().flatten() {
                    match &held.content {
                        // The contract's rule for readers.
                        Content::Document(json) if held.version >= Some(found[*at].0) => {
                            found[*at] = (held.version.unwrap_or(i64::MIN), Some(json.clone()));
                        }
                        Content::Document(_) => {}
                        Content::Deleted => found[*at] = (i64::MIN, None),
                    }
                }
            }
        }
    }
}

/// Returns whether the transaction was rolled back although no record failed by itself. One cause: after a rejected
/// batch the broker expects other sequence numbers, and the rollback resets them.
fn is_retried_whole(end: &TransactionEnd) -> bool {
    let TransactionEnd::RolledBack(reports, _) = end else { return false };
    let innocent =
        |error: &KafkaError| error.rdkafka_error_code().is_some_and(|code| verdict(code) == Verdict::Innocent);
    reports.iter().all(|report| report.as_ref().err().is_none_or(innocent))
}

fn is_rejected(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| verdict(code) == Verdict::Rejected)
}

impl Sink for KafkaSink {
    fn describe(&self) -> String {
        format!("topic {} at {}", self.options.topic, self.options.bootstrap_servers)
    }

    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.open().boxed()
    }

    fn limits(&self) -> Limits {
        Limits {
            batch_documents_max: BATCH_DOCUMENTS_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            in_flight_max: IN_FLIGHT_MAX,
            // An unknown outcome is resolved before the next transaction begins.
            request_life_max: Duration::ZERO,
            delete_memory: self.options.delete_retention,
            guards_versions: false,
        }
    }

    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>> {
        self.deliver(deliveries).boxed()
    }

    /// Renews the writer fence, which the brokers drop otherwise, and with it the record of the database.
    fn tend(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.with_writer(TopicWriter::tend).boxed()
    }

    /// Scans the partitions of these documents. Slow: for diagnosis, not for regular use.
    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>> {
        self.find(keys).boxed()
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        async move {
            self.check_ownership().await?;
            let scan = TopicScan::begin(&self.options, (&self.observer, &self.names), &self.describe(), None).await?;
            Ok(Box::new(scan) as Box<dyn Scan>)
        }
        .boxed()
    }
}
