//! The sink itself: deliveries into records, transactions into outcomes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::sink::{Content, Delivery, DocumentKey, Limits, Outcome, RetryCause, Scan, Sink, SinkError};
use rdkafka::error::KafkaError;
use tokio::sync::Mutex;

use super::envelope::{Names, Record, encode};
use super::mark::Mark;
use super::options::{KafkaOptions, OptionsError};
use super::scan::TopicScan;
use super::topic;
use super::writer::{Closed, End, Report, Writer};
use crate::kafka::client::Observer;
use crate::kafka::errors::{Verdict, outcome, verdict};
use crate::kafka::partition_of;

/// A transaction costs the same for one record as for thousands. More than these bring little, and take memory.
const BATCH_DOCUMENTS_MAX: usize = 4_000;
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Transactions go one after the other; with more than one `put` the next is encoded while the last commits.
const IN_FLIGHT_MAX: usize = 2;

/// Transactions of one `put` that are tried again at once.
const REPEATS_MAX: usize = 2;

/// Records with the places of their deliveries.
type Batch = Vec<(usize, Arc<Record>)>;

/// A documents topic, of which this is the one writer.
pub struct KafkaSink {
    options: KafkaOptions,
    names: Arc<Names>,
    observer: Observer,
    writer: Arc<Mutex<Writer>>,
}

impl KafkaSink {
    /// Connects to nothing yet; [`Sink::prepare`] does.
    ///
    /// # Errors
    /// With everything that is wrong with the options.
    pub fn new(options: KafkaOptions) -> Result<Self, OptionsError> {
        options.check()?;
        let observer = Observer::default();
        let writer = Arc::new(Mutex::new(Writer::new(&options, observer.clone())));
        Ok(Self { names: Arc::new(Names::new(&options.resources)), options, observer, writer })
    }

    /// Refuses the topic of another database, before anything is done to it or to whoever writes to it.
    async fn check_whose(&self) -> Result<(), SinkError> {
        if self.options.binding.is_none() {
            return Ok(());
        }
        let sink = self.describe();
        let mark = Mark::new(&self.options, self.observer.clone());
        let asked = tokio::task::spawn_blocking(move || mark.foreign()).await;
        match asked {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(difference))) => Err(SinkError::Unfit { sink, differences: vec![difference] }),
            Ok(Err(error)) => Err(topic::unavailable(&sink, &self.observer, &error)),
            Err(error) => Err(SinkError::Broken { sink, reason: format!("the question stopped: {error}") }),
        }
    }

    async fn open(&self) -> Result<(), SinkError> {
        self.check_whose().await?;
        topic::ensure(&self.options, &self.observer, &self.describe()).await?;
        self.with_writer(Writer::open).await
    }

    async fn with_writer(&self, work: fn(&mut Writer) -> Result<(), Closed>) -> Result<(), SinkError> {
        let sink = self.describe();
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        match tokio::task::spawn_blocking(move || work(&mut writer)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Closed::Unavailable(reason))) => Err(SinkError::Unavailable { sink, reason }),
            Ok(Err(Closed::NotOurs(reason))) => Err(SinkError::Unfit { sink, differences: vec![reason] }),
            Err(error) => Err(SinkError::Broken { sink, reason: format!("its writer stopped: {error}") }),
        }
    }

    /// The record of a delivery, or the answer that it already has.
    fn record(&self, delivery: &Delivery) -> Result<Record, Outcome> {
        let record = encode(delivery, &self.names).map_err(|reason| Outcome::Rejected { reason })?;
        let (bytes, ceiling) = (record.bytes_max(), self.options.record_bytes_max);
        if bytes > ceiling {
            let reason = format!(
                "its record would have {bytes} bytes, the topic takes {ceiling}: raise the ceiling and max.message.bytes"
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
            // What goes again has waited.
            paced = false;
            if repeats > 0 && is_blameless(&end) {
                repeats -= 1;
                batches.push(batch);
                continue;
            }
            batches.extend(self.judge(end, batch, &mut outcomes));
        }
        let unanswered = || Outcome::retry(RetryCause::Failed, "it was given no answer");
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect()
    }

    /// One transaction. Once begun it runs to its end even if nobody waits for it any more.
    async fn send(&self, records: Vec<Arc<Record>>, paced: bool) -> End {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        let pause = writer.pause(records.len());
        // Sleeping for no time takes a millisecond.
        if paced && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let sent = tokio::task::spawn_blocking(move || writer.send(&records)).await;
        sent.unwrap_or_else(|error| End::Unknown(format!("the writer stopped: {error}")))
    }

    /// Answers what has its answer now, and returns what goes again, batch by batch.
    fn judge(&self, end: End, batch: Batch, outcomes: &mut [Option<Outcome>]) -> Vec<Batch> {
        let all_down = self.observer.all_down();
        let mut all = |outcome: &Outcome| {
            for (at, _) in &batch {
                outcomes[*at] = Some(outcome.clone());
            }
            Vec::new()
        };
        match end {
            End::Committed(reports) => {
                for ((at, _), report) in batch.iter().zip(reports) {
                    outcomes[*at] = Some(report.map_or_else(|error| outcome(&error, all_down), |()| Outcome::Done));
                }
                Vec::new()
            }
            End::RolledBack(reports, reason) => self.judge_rolled_back(&reports, &reason, batch, outcomes),
            End::Unknown(reason) => all(&Outcome::retry(RetryCause::Unanswered, reason)),
            End::Closed(Closed::Unavailable(reason) | Closed::NotOurs(reason)) => {
                all(&Outcome::retry(RetryCause::Unavailable, reason))
            }
        }
    }

    /// A record that the broker refuses spoils its whole transaction. The broker refuses batches, so of several that it
    /// refused each goes alone, to learn which was meant; the others go again without them.
    fn judge_rolled_back(
        &self,
        reports: &[Report],
        reason: &str,
        batch: Batch,
        outcomes: &mut [Option<Outcome>],
    ) -> Vec<Batch> {
        let all_down = self.observer.all_down();
        let refused = |report: &Report| report.as_ref().is_err_and(is_rejected);
        let alone = batch.len() == 1;
        let spoiled = reports.iter().any(refused);
        let mut again = vec![Vec::new()];
        for ((at, record), report) in batch.into_iter().zip(reports) {
            match report {
                report if spoiled && !alone && refused(report) => again.push(vec![(at, record)]),
                _ if spoiled && !alone => again[0].push((at, record)),
                Err(error) => outcomes[at] = Some(outcome(error, all_down)),
                // It had arrived and fell with the others: no document is to blame.
                Ok(()) => {
                    outcomes[at] = Some(Outcome::retry(RetryCause::Unavailable, self.observer.explain(reason)));
                }
            }
        }
        again
    }

    async fn find(&self, keys: &[DocumentKey]) -> Result<Vec<Option<Bytes>>, SinkError> {
        self.check_whose().await?;
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
                        // As the contract tells every reader to.
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

/// Rolled back though no record failed: the broker expects other numbers of the producer after a batch that it refused,
/// for instance, and the roll-back put that right.
fn is_blameless(end: &End) -> bool {
    let End::RolledBack(reports, _) = end else { return false };
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
            // What is in doubt is settled before the next transaction begins.
            request_life_max: Duration::ZERO,
            delete_memory: self.options.delete_retention,
            guards_versions: false,
        }
    }

    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>> {
        self.deliver(deliveries).boxed()
    }

    /// The mark of who writes lapses on the brokers, and with it whose topic this is.
    fn tend(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        self.with_writer(Writer::tend).boxed()
    }

    /// Reads the partitions of these documents whole: for questions, not for every day.
    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>> {
        self.find(keys).boxed()
    }

    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>> {
        async move {
            self.check_whose().await?;
            let scan = TopicScan::begin(&self.options, (&self.observer, &self.names), &self.describe(), None).await?;
            Ok(Box::new(scan) as Box<dyn Scan>)
        }
        .boxed()
    }
}
