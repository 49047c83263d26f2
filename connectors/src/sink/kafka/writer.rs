//! The one writer of the topic, and how it stays the only one.
//!
//! Every batch is a transaction. Opening a producer with the topic's `transactional.id` ends what an earlier producer
//! left unfinished and fences it: whatever a process that was stopped and woke up again still sends is refused.
//!
//! Two producers take turns. The broker refuses a transaction of a producer whose last one it is still ending, and
//! librdkafka asks again after 20 ms, whatever was to be written; by the turn after next the broker is long done. There is
//! one transaction at a time all the same, and the next begins when the commit of the last was answered, so the log keeps
//! the order in which it was given. Readers of committed records stop where the first undecided one begins.
//!
//! A producer also ends by itself, after an outage that was longer than its transactions may last. librdkafka calls that
//! fenced too. So whoever opens the first commits its *mark* before it opens the second ([`Mark`]). Who finds another's mark
//! was taken over from and stays closed; who finds its own opens again, and nobody has written in between.
//!
//! The mark also says of which database the documents are. It is asked before anything is opened,
//! so that whoever writes for another database is not fenced; and once more afterwards, since that may have come in between.
//! It is renewed while nothing is written, or the broker would forget it.
//!
//! A commit whose answer did not come is settled before anything else is written. What was in doubt is in the log before
//! what comes next, or never: a later delete stays later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureRecord, Producer};

use super::clients::{self, TransactionalProducer};
use super::envelope::Record;
use super::mark::{Found, Mark};
use super::options::KafkaOptions;
use crate::kafka::client::Observer;
use crate::kafka::errors::{Verdict, describe, verdict};

/// librdkafka looks for records that waited too long once a second.
const REPORT_BEYOND_ANSWER: Duration = Duration::from_secs(5);

/// How long a commit waits for librdkafka to let go of what it reported, at most, and between two looks.
const HANDLED_WAIT_MAX: Duration = Duration::from_millis(100);
const HANDLED_PAUSE: Duration = Duration::from_micros(50);

/// A transaction takes about two milliseconds of a processor, most of them the broker's, whatever is in it. So few records
/// wait until the last one began this long ago; the first after a rest go at once.
const PACE: Duration = Duration::from_millis(10);
/// So many records wait for nothing.
const RECORDS_ENOUGH: usize = 500;

/// The right to write to the topic, or what became of it. Its calls block.
pub(super) struct Writer {
    topic: String,
    producer_configs: [ClientConfig; 2],
    observer: Observer,
    answer_timeout: Duration,
    mark: Mark,
    /// This writer has had the right, so it is only its own if the mark still says so.
    had_it: bool,
    /// When the last transaction began.
    began_at: Option<Instant>,
    state: State,
}

enum State {
    /// Why, for whoever wants to write.
    Closed(String),
    Open {
        producers: [TransactionalProducer; 2],
        /// Whose turn it is; what is unfinished is of this one.
        turn: usize,
        unfinished: Option<Unfinished>,
    },
    /// For good.
    TakenOver,
}

#[derive(Debug, Clone, Copy)]
enum Unfinished {
    Commit,
    Abort,
}

/// Why nothing can be written now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Closed {
    /// The brokers do not answer, or not with what is needed: to be tried again.
    Unavailable(String),
    /// Another writer has the topic now, or it is the topic of another database: somebody has to change that.
    NotOurs(String),
}

/// What became of one record.
pub(super) type Report = Result<(), KafkaError>;

/// How a transaction ended.
pub(super) enum End {
    /// Everything that its report calls delivered is there for good.
    Committed(Vec<Report>),
    /// Nothing of it is there. The reports tell whose fault it was, if any record's.
    RolledBack(Vec<Report>, String),
    /// It is there or not; the next transaction settles it first.
    Unknown(String),
    /// Nothing was tried, or nothing of it is there and the producer is gone.
    Closed(Closed),
}

impl Writer {
    pub(super) fn new(options: &KafkaOptions, observer: Observer) -> Self {
        Self {
            topic: options.topic.clone(),
            producer_configs: clients::producers(options),
            mark: Mark::new(options, observer.clone()),
            observer,
            answer_timeout: options.answer_timeout,
            had_it: false,
            began_at: None,
            state: State::Closed("it was not prepared yet".to_owned()),
        }
    }

    /// Makes it the topic's writer, fencing the one before, unless it is that already. Settles what is unfinished.
    pub(super) fn open(&mut self) -> Result<(), Closed> {
        match &self.state {
            State::TakenOver => Err(self.taken_over()),
            State::Open { .. } => self.settle(),
            State::Closed(_) => {
                let producers = self.acquire()?;
                self.state = State::Open { producers, turn: 0, unfinished: None };
                self.observer.answered();
                Ok(())
            }
        }
    }

    fn acquire(&mut self) -> Result<[TransactionalProducer; 2], Closed> {
        if self.had_it {
            self.check_mark()?;
        }
        let first = self.producer(0)?;
        // Somebody may have opened it since it was looked at, and was fenced just now; it will open it again.
        self.check_mark()?;
        self.put_mark(&first).map_err(|error| self.unavailable(&error))?;
        self.had_it = true;
        self.mark.was_put();
        let second = self.producer(1)?;
        // Who opened it since has fenced the first producer, and may think that it has fenced both.
        self.check_mark()?;
        Ok([first, second])
    }

    /// A producer that has ended what the last of its name left unfinished, and fenced it.
    fn producer(&self, turn: usize) -> Result<TransactionalProducer, Closed> {
        let config = &self.producer_configs[turn];
        let producer = TransactionalProducer::from_config_and_context(config, self.observer.clone())
            .map_err(|error| self.unavailable(&error))?;
        producer.init_transactions(self.answer_timeout).map_err(|error| self.unavailable(&error))?;
        Ok(producer)
    }

    /// How long so many records should wait before they are sent.
    pub(super) fn pause(&self, records: usize) -> Duration {
        let rest = |began_at: Instant| PACE.saturating_sub(began_at.elapsed());
        self.began_at.filter(|_| records < RECORDS_ENOUGH).map(rest).unwrap_or_default()
    }

    /// Sends records in one transaction and tells how it ended, with a report for each.
    pub(super) fn send(&mut self, records: &[Arc<Record>]) -> End {
        if let Err(closed) = self.settle() {
            return End::Closed(closed);
        }
        let State::Open { producers, turn, .. } = &self.state else { return End::Closed(self.why_closed()) };
        let producer = producers[*turn].clone();
        self.began_at = Some(Instant::now());
        if let Err(error) = producer.begin_transaction() {
            return self.failed(&error);
        }
        let sent = records.iter().map(|record| self.enqueue(&producer, record)).collect();
        let (reports, spoiled) = self.reports(sent);
        if let Some(error) = spoiled {
            return self.roll_back(&error, reports);
        }
        self.wait_handled(&producer);
        let renews = self.must_renew_mark();
        let marked = if renews { self.mark.put_by(&producer) } else { Ok(()) };
        match marked.and_then(|()| producer.commit_transaction(self.answer_timeout)) {
            Ok(()) => {
                if renews {
                    self.mark.was_put();
                }
                self.observer.answered();
                self.pass_turn();
                End::Committed(reports)
            }
            Err(error) if must_roll_back(&error) => self.roll_back(&error, reports),
            Err(error) => self.failed(&error),
        }
    }

    /// Renews the mark when it is time, though nothing is written.
    pub(super) fn tend(&mut self) -> Result<(), Closed> {
        if !self.mark.is_due() {
            return Ok(());
        }
        self.open()?;
        if let State::Open { turn, .. } = &mut self.state {
            *turn = 0;
        }
        match self.send(&[]) {
            End::Committed(_) => Ok(()),
            End::RolledBack(_, reason) | End::Unknown(reason) => Err(Closed::Unavailable(reason)),
            End::Closed(closed) => Err(closed),
        }
    }

    /// Waits for the reports, which librdkafka owes us within the answer timeout, and tells the error of one that was sent
    /// and failed.
    fn reports(&self, sent: Vec<Result<DeliveryFuture, KafkaError>>) -> (Vec<Report>, Option<KafkaError>) {
        let until = tokio::time::Instant::now() + self.answer_timeout + REPORT_BEYOND_ANSWER;
        let runtime = tokio::runtime::Handle::current();
        let mut spoiled: Option<KafkaError> = None;
        let mut report = |sent: Result<DeliveryFuture, KafkaError>| {
            // What the queue did not take is no part of the transaction.
            let awaited = runtime
                .block_on(async { tokio::time::timeout_at(until, sent?).await.map_err(|_| KafkaError::Canceled) });
            let report = match awaited {
                Ok(Ok(Ok(_))) => return Ok(()),
                Ok(Ok(Err((error, _)))) => error,
                Ok(Err(_)) => KafkaError::Canceled,
                Err(error @ KafkaError::Canceled) => error,
                Err(not_queued) => return Err(not_queued),
            };
            spoiled.get_or_insert_with(|| report.clone());
            Err(report)
        };
        let reports = sent.into_iter().map(&mut report).collect();
        (reports, spoiled)
    }

    /// Waits until librdkafka has let go of what it reported, some microseconds later. A commit would wait for that too,
    /// but its binding looks again only after 100 ms, which every second commit of a single document then took.
    fn wait_handled(&self, producer: &TransactionalProducer) {
        let until = Instant::now() + HANDLED_WAIT_MAX;
        while producer.in_flight_count() > 0 && Instant::now() < until {
            std::thread::sleep(HANDLED_PAUSE);
        }
    }

    fn enqueue(&self, producer: &TransactionalProducer, record: &Record) -> Result<DeliveryFuture, KafkaError> {
        let mut message = FutureRecord::to(&self.topic).key(&record.key).headers(record.headers());
        if let Some(value) = &record.value {
            message = message.payload(value);
        }
        producer.send_result(message).map_err(|(error, _)| error)
    }

    fn roll_back(&mut self, cause: &KafkaError, reports: Vec<Report>) -> End {
        let State::Open { producers, turn, unfinished } = &mut self.state else {
            return End::Closed(self.why_closed());
        };
        let aborted = producers[*turn].abort_transaction(self.answer_timeout);
        let reason = describe(cause);
        match aborted {
            Err(error) if is_fatal(&error) => self.failed(&error),
            // A new producer rolls back what the last one left.
            aborted if reports.iter().any(is_in_doubt) => {
                self.state = State::Closed(reason.clone());
                if aborted.is_ok() {
                    // Whoever sends next is told why it did not open.
                    drop(self.open());
                }
                End::RolledBack(reports, reason)
            }
            Ok(()) => End::RolledBack(reports, reason),
            // It was never asked to commit, and the broker rolls it back by itself when we never come back.
            Err(_) => {
                *unfinished = Some(Unfinished::Abort);
                End::RolledBack(reports, reason)
            }
        }
    }

    /// After an error that is no order to roll back: the producer is gone, or the answer to the commit is open.
    fn failed(&mut self, error: &KafkaError) -> End {
        let reason = self.observer.explain(&describe(error));
        if !is_fatal(error) {
            if let State::Open { unfinished, .. } = &mut self.state {
                *unfinished = Some(Unfinished::Commit);
            }
            return End::Unknown(reason);
        }
        self.state = State::Closed(reason.clone());
        // A commit that is refused to a fenced producer is not carried out.
        if is_fenced(error) { End::Closed(Closed::Unavailable(reason)) } else { End::Unknown(reason) }
    }

    /// Ends what an earlier transaction left open.
    fn settle(&mut self) -> Result<(), Closed> {
        let State::Open { producers, turn, unfinished } = &mut self.state else { return Err(self.why_closed()) };
        let producer = &producers[*turn];
        let Some(open) = *unfinished else { return Ok(()) };
        let mut ended = match open {
            Unfinished::Commit => producer.commit_transaction(self.answer_timeout),
            Unfinished::Abort => producer.abort_transaction(self.answer_timeout),
        };
        if ended.as_ref().is_err_and(must_roll_back) {
            *unfinished = Some(Unfinished::Abort);
            ended = producer.abort_transaction(self.answer_timeout);
        }
        match ended {
            Ok(()) => {
                *unfinished = None;
                Ok(())
            }
            Err(error) if is_fatal(&error) => {
                let reason = describe(&error);
                self.state = State::Closed(reason.clone());
                Err(Closed::Unavailable(reason))
            }
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    fn pass_turn(&mut self) {
        if let State::Open { producers, turn, .. } = &mut self.state {
            *turn = (*turn + 1) % producers.len();
        }
    }

    /// Only by the first producer: who takes over fences it before putting a mark of its own, so that is never replaced.
    fn must_renew_mark(&self) -> bool {
        self.mark.is_due() && matches!(self.state, State::Open { turn: 0, .. })
    }

    fn put_mark(&self, producer: &TransactionalProducer) -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        self.mark.put_by(producer)?;
        producer.commit_transaction(self.answer_timeout)
    }

    /// Notices that another writer has come, and a topic that is another database's.
    fn check_mark(&mut self) -> Result<(), Closed> {
        match self.mark.find().map_err(|error| self.unavailable(&error))? {
            Found::Own | Found::Nothing => Ok(()),
            Found::Foreign(difference) => Err(Closed::NotOurs(difference)),
            // The one that is to be taken over from.
            Found::Another if !self.had_it => Ok(()),
            Found::Another => {
                self.state = State::TakenOver;
                Err(self.taken_over())
            }
        }
    }

    fn unavailable(&self, error: &KafkaError) -> Closed {
        Closed::Unavailable(self.observer.explain(&describe(error)))
    }

    fn why_closed(&self) -> Closed {
        match &self.state {
            State::Closed(reason) => Closed::Unavailable(reason.clone()),
            State::TakenOver => self.taken_over(),
            State::Open { .. } => Closed::Unavailable("it is open".to_owned()),
        }
    }

    fn taken_over(&self) -> Closed {
        let topic = &self.topic;
        Closed::NotOurs(format!(
            "another process writes to {topic} now, so this one does not any more: stop one of them, then start this one again"
        ))
    }
}

/// Whether the brokers may have the record although its report says that it failed. librdkafka gives the next records of
/// such a producer the numbers of these, in the same epoch: the broker takes them for what it has already, answers that it
/// has them, and they stay in the transaction that was rolled back. Only a new producer begins a new epoch.
fn is_in_doubt(report: &Report) -> bool {
    let refused = |code| verdict(code) == Verdict::Rejected;
    report.as_ref().is_err_and(|error| !error.rdkafka_error_code().is_some_and(refused))
}

fn must_roll_back(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.is_fatal())
}

fn is_fenced(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch))
}
