//! The only writer of the topic, and the protocol that keeps it the only one.
//!
//! Every batch is a transaction. Opening a producer with the topic's `transactional.id` ends the unfinished transaction
//! of an earlier producer and fences that producer: the broker refuses whatever a process that was suspended still
//! sends.
//!
//! Two producers alternate. The broker refuses a transaction of a producer whose previous one it is still completing,
//! and librdkafka retries only after 20 ms; by the producer's next turn the broker is done. Only one transaction runs
//! at a time, and the next begins after the commit of the previous one was confirmed, so the log keeps the order of the
//! batches. Readers of committed records stop at the first undecided transaction.
//!
//! A producer also becomes unusable by itself, after an outage longer than its transaction timeout. librdkafka reports
//! that as fenced too. To tell the cases apart, a writer commits its [`WriterFence`] record after it opened the first
//! producer and before it opens the second. A writer that finds another writer's record was taken over and stays
//! closed. A writer that finds its own reopens; no other process has written in between.
//!
//! The fence record also names the database of the documents. The writer reads it before it opens a producer, so that
//! it does not fence the writer of another database, and again afterwards, because that writer may have arrived in
//! between. It renews the record while there are no deliveries, because the broker drops it otherwise.
//!
//! If a commit's outcome is unknown, the writer resolves it before it produces again. The batch is then either in the
//! log ahead of the next one or not at all, so a later delete cannot be reordered before it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureRecord, Producer};

use super::clients::{self, TransactionalProducer, is_fatal, is_fenced, requires_abort};
use super::envelope::DocumentRecord;
use super::fence::{FenceOwner, WriterFence};
use super::options::KafkaOptions;
use crate::kafka::client::Observer;
use crate::kafka::errors::{Verdict, describe, verdict};

/// Wait for reports beyond the timeout of records, which librdkafka checks once a second.
const REPORT_MARGIN: Duration = Duration::from_secs(5);

/// Maximum wait, before a commit, for librdkafka to release reported records, and the pause between two checks.
const RELEASE_WAIT_MAX: Duration = Duration::from_millis(100);
const RELEASE_PAUSE: Duration = Duration::from_micros(50);

/// Minimum time between the starts of two small transactions. A transaction takes about two milliseconds of CPU, most
/// of them on the broker, independent of its size. The first batch after a pause does not wait.
const TRANSACTION_INTERVAL: Duration = Duration::from_millis(10);
/// Batch size from which a transaction starts without waiting.
const UNPACED_RECORDS: usize = 500;

/// The writer of the topic. Its calls block.
pub(super) struct TopicWriter {
    topic: String,
    producer_configs: [ClientConfig; 2],
    observer: Observer,
    answer_timeout: Duration,
    fence: WriterFence,
    /// Whether this writer was open before. It may then reopen only if the fence record is still its own.
    was_open: bool,
    /// Start of the last transaction.
    began_at: Option<Instant>,
    state: WriterState,
}

enum WriterState {
    /// Not open, with the reason.
    Closed(String),
    Open {
        producers: [TransactionalProducer; 2],
        /// Index of the current producer; `unresolved` is its transaction.
        turn: usize,
        unresolved: Option<Unresolved>,
    },
    /// Another writer took over; final.
    TakenOver,
}

/// The call whose outcome is unknown.
#[derive(Debug, Clone, Copy)]
enum Unresolved {
    Commit,
    Abort,
}

/// The reason why the writer cannot write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WriterClosed {
    /// The brokers do not respond or refuse. A retry may succeed.
    Unavailable(String),
    /// Another writer took over, or the topic belongs to another database: an operator has to act.
    NotOurs(String),
}

/// The delivery report of one record.
pub(super) type DeliveryReport = Result<(), KafkaError>;

/// The end of a transaction.
pub(super) enum TransactionEnd {
    /// Committed: every record with a successful report is durable.
    Committed(Vec<DeliveryReport>),
    /// Rolled back as a whole. The reports show which records caused it, if any.
    RolledBack(Vec<DeliveryReport>, String),
    /// The outcome is unknown; the next transaction resolves it first.
    Unknown(String),
    /// Nothing was tried, or nothing was written and the producer is unusable.
    Closed(WriterClosed),
}

impl TopicWriter {
    pub(super) fn new(options: &KafkaOptions, observer: Observer) -> Self {
        Self {
            topic: options.topic.clone(),
            producer_configs: clients::producers(options),
            fence: WriterFence::new(options, observer.clone()),
            observer,
            answer_timeout: options.answer_timeout,
            was_open: false,
            began_at: None,
            state: WriterState::Closed("the sink is not prepared yet".to_owned()),
        }
    }

    /// Opens the writer and fences the previous one. If it is open already, resolves an unknown outcome.
    pub(super) fn open(&mut self) -> Result<(), WriterClosed> {
        match &self.state {
            WriterState::TakenOver => Err(self.taken_over()),
            WriterState::Open { .. } => self.resolve(),
            WriterState::Closed(_) => {
                let producers = self.acquire()?;
                self.state = WriterState::Open { producers, turn: 0, unresolved: None };
                self.observer.answered();
                Ok(())
            }
        }
    }

    fn acquire(&mut self) -> Result<[TransactionalProducer; 2], WriterClosed> {
        if self.was_open {
            self.check_fence()?;
        }
        let first = self.producer(0)?;
        // Another writer may have opened the topic after the first check. It was fenced just now and will reopen.
        self.check_fence()?;
        self.write_fence(&first).map_err(|error| self.unavailable(&error))?;
        self.was_open = true;
        self.fence.renewed();
        let second = self.producer(1)?;
        // A writer that opened the topic since has fenced the first producer, and may assume that it fenced both.
        self.check_fence()?;
        Ok([first, second])
    }

    /// Opens a producer. This ends the unfinished transaction of the previous producer with its name, and fences that
    /// producer.
    fn producer(&self, turn: usize) -> Result<TransactionalProducer, WriterClosed> {
        let config = &self.producer_configs[turn];
        let producer = TransactionalProducer::from_config_and_context(config, self.observer.clone())
            .map_err(|error| self.unavailable(&error))?;
        producer.init_transactions(self.answer_timeout).map_err(|error| self.unavailable(&error))?;
        Ok(producer)
    }

    /// Returns how long a batch of this size should wait before it is sent.
    pub(super) fn pause(&self, records: usize) -> Duration {
        let remaining = |began_at: Instant| TRANSACTION_INTERVAL.saturating_sub(began_at.elapsed());
        self.began_at.filter(|_| records < UNPACED_RECORDS).map(remaining).unwrap_or_default()
    }

    /// Sends records in one transaction.
    pub(super) fn send(&mut self, records: &[Arc<DocumentRecord>]) -> TransactionEnd {
        if let Err(closed) = self.resolve() {
            return TransactionEnd::Closed(closed);
        }
        let WriterState::Open { producers, turn, .. } = &self.state else {
            return TransactionEnd::Closed(self.why_closed());
        };
        let producer = producers[*turn].clone();
        self.began_at = Some(Instant::now());
        if let Err(error) = producer.begin_transaction() {
            return self.failed(&error);
        }
        let sent = records.iter().map(|record| self.enqueue(&producer, record)).collect();
        let (reports, failure) = self.reports(sent);
        if let Some(error) = failure {
            return self.roll_back(&error, reports);
        }
        self.wait_released(&producer);
        let renews = self.must_renew_fence();
        let fenced = if renews { self.fence.add_to_transaction(&producer) } else { Ok(()) };
        match fenced.and_then(|()| producer.commit_transaction(self.answer_timeout)) {
            Ok(()) => {
                if renews {
                    self.fence.renewed();
                }
                self.observer.answered();
                self.next_turn();
                TransactionEnd::Committed(reports)
            }
            Err(error) if requires_abort(&error) => self.roll_back(&error, reports),
            Err(error) => self.failed(&error),
        }
    }

    /// Renews the fence record if it is due and no deliveries renew it.
    pub(super) fn tend(&mut self) -> Result<(), WriterClosed> {
        if !self.fence.is_due() {
            return Ok(());
        }
        self.open()?;
        if let WriterState::Open { turn, .. } = &mut self.state {
            *turn = 0;
        }
        match self.send(&[]) {
            TransactionEnd::Committed(_) => Ok(()),
            TransactionEnd::RolledBack(_, reason) | TransactionEnd::Unknown(reason) => {
                Err(WriterClosed::Unavailable(reason))
            }
            TransactionEnd::Closed(closed) => Err(closed),
        }
    }

    /// Waits for the delivery reports, which arrive within the answer timeout. Also returns the error of the first
    /// record that was sent and failed.
    fn reports(&self, sent: Vec<Result<DeliveryFuture, KafkaError>>) -> (Vec<DeliveryReport>, Option<KafkaError>) {
        let until = tokio::time::Instant::now() + self.answer_timeout + REPORT_MARGIN;
        let runtime = tokio::runtime::Handle::current();
        let mut failure: Option<KafkaError> = None;
        let mut report = |sent: Result<DeliveryFuture, KafkaError>| {
            // A record that the producer's queue refused is not part of the transaction.
            let awaited = runtime
                .block_on(async { tokio::time::timeout_at(until, sent?).await.map_err(|_| KafkaError::Canceled) });
            let report = match awaited {
                Ok(Ok(Ok(_))) => return Ok(()),
                Ok(Ok(Err((error, _)))) => error,
                Ok(Err(_)) => KafkaError::Canceled,
                Err(error @ KafkaError::Canceled) => error,
                Err(not_queued) => return Err(not_queued),
            };
            failure.get_or_insert_with(|| report.clone());
            Err(report)
        };
        let reports = sent.into_iter().map(&mut report).collect();
        (reports, failure)
    }

    /// Waits until librdkafka has released the reported records, which takes microseconds. A commit waits for that too,
    /// but its binding checks only every 100 ms; every second commit of a single document took that long.
    fn wait_released(&self, producer: &TransactionalProducer) {
        let until = Instant::now() + RELEASE_WAIT_MAX;
        while producer.in_flight_count() > 0 && Instant::now() < until {
            std::thread::sleep(RELEASE_PAUSE);
        }
    }

    fn enqueue(&self, producer: &TransactionalProducer, record: &DocumentRecord) -> Result<DeliveryFuture, KafkaError> {
        let mut message = FutureRecord::to(&self.topic).key(&record.key).headers(record.headers());
        if let Some(value) = &record.value {
            message = message.payload(value);
        }
        producer.send_result(message).map_err(|(error, _)| error)
    }

    fn roll_back(&mut self, cause: &KafkaError, reports: Vec<DeliveryReport>) -> TransactionEnd {
        let WriterState::Open { producers, turn, unresolved } = &mut self.state else {
            return TransactionEnd::Closed(self.why_closed());
        };
        let aborted = producers[*turn].abort_transaction(self.answer_timeout);
        let reason = describe(cause);
        match aborted {
            Err(error) if is_fatal(&error) => self.failed(&error),
            // A new producer rolls back the old one's transaction.
            aborted if reports.iter().any(is_in_doubt) => {
                self.state = WriterState::Closed(reason.clone());
                if aborted.is_ok() {
                    // If opening fails, the next `send` returns the reason.
                    drop(self.open());
                }
                TransactionEnd::RolledBack(reports, reason)
            }
            Ok(()) => TransactionEnd::RolledBack(reports, reason),
            // No commit was requested, so the broker rolls it back at the latest when the transaction times out.
            Err(_) => {
                *unresolved = Some(Unresolved::Abort);
                TransactionEnd::RolledBack(reports, reason)
            }
        }
    }

    /// Handles an error that does not require an abort: the producer is unusable, or the outcome of the commit is
    /// unknown.
    fn failed(&mut self, error: &KafkaError) -> TransactionEnd {
        let reason = self.observer.explain(&describe(error));
        if !is_fatal(error) {
            if let WriterState::Open { unresolved, .. } = &mut self.state {
                *unresolved = Some(Unresolved::Commit);
            }
            return TransactionEnd::Unknown(reason);
        }
        self.state = WriterState::Closed(reason.clone());
        // The broker does not carry out a fenced producer's commit.
        if is_fenced(error) {
            TransactionEnd::Closed(WriterClosed::Unavailable(reason))
        } else {
            TransactionEnd::Unknown(reason)
        }
    }

    /// Resolves the unknown outcome of an earlier transaction.
    fn resolve(&mut self) -> Result<(), WriterClosed> {
        let WriterState::Open { producers, turn, unresolved } = &mut self.state else { return Err(self.why_closed()) };
        let producer = &producers[*turn];
        let Some(open) = *unresolved else { return Ok(()) };
        let mut ended = match open {
            Unresolved::Commit => producer.commit_transaction(self.answer_timeout),
            Unresolved::Abort => producer.abort_transaction(self.answer_timeout),
        };
        if ended.as_ref().is_err_and(requires_abort) {
            *unresolved = Some(Unresolved::Abort);
            ended = producer.abort_transaction(self.answer_timeout);
        }
        match ended {
            Ok(()) => {
                *unresolved = None;
                Ok(())
            }
            Err(error) if is_fatal(&error) => {
                let reason = describe(&error);
                self.state = WriterState::Closed(reason.clone());
                Err(WriterClosed::Unavailable(reason))
            }
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    fn next_turn(&mut self) {
        if let WriterState::Open { producers, turn, .. } = &mut self.state {
            *turn = (*turn + 1) % producers.len();
        }
    }

    /// Returns whether this transaction renews the fence record. Only the first producer does: a writer that takes over
    /// fences it before it writes its own record, so that record is never overwritten.
    fn must_renew_fence(&self) -> bool {
        self.fence.is_due() && matches!(self.state, WriterState::Open { turn: 0, .. })
    }

    fn write_fence(&self, producer: &TransactionalProducer) -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        self.fence.add_to_transaction(producer)?;
        producer.commit_transaction(self.answer_timeout)
    }

    /// Detects another writer, and a topic of another database.
    fn check_fence(&mut self) -> Result<(), WriterClosed> {
        match self.fence.owner().map_err(|error| self.unavailable(&error))? {
            FenceOwner::Own | FenceOwner::Absent => Ok(()),
            FenceOwner::OtherDatabase(difference) => Err(WriterClosed::NotOurs(difference)),
            // The previous writer, which this one takes over from.
            FenceOwner::OtherWriter if !self.was_open => Ok(()),
            FenceOwner::OtherWriter => {
                self.state = WriterState::TakenOver;
                Err(self.taken_over())
            }
        }
    }

    fn unavailable(&self, error: &KafkaError) -> WriterClosed {
        WriterClosed::Unavailable(self.observer.explain(&describe(error)))
    }

    fn why_closed(&self) -> WriterClosed {
        match &self.state {
            WriterState::Closed(reason) => WriterClosed::Unavailable(reason.clone()),
            WriterState::TakenOver => self.taken_over(),
            WriterState::Open { .. } => WriterClosed::Unavailable("the writer is open".to_owned()),
        }
    }

    fn taken_over(&self) -> WriterClosed {
        let topic = &self.topic;
        WriterClosed::NotOurs(format!(
            "another process writes to {topic} now, so this one has stopped writing: stop one of them, then restart this one"
        ))
    }
}

/// Returns whether the brokers may have the record although its report failed. librdkafka reuses the sequence numbers
/// of such records for the producer's next records, in the same epoch. The broker takes those for duplicates, confirms
/// them, and they stay in the transaction that was rolled back. Only a new producer starts a new epoch.
fn is_in_doubt(report: &DeliveryReport) -> bool {
    let refused = |code| verdict(code) == Verdict::Rejected;
    report.as_ref().is_err_and(|error| !error.rdkafka_error_code().is_some_and(refused))
}
