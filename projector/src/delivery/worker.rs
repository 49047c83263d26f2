//! The courier's loop: as many rounds at the same time as the sink bears, each entry settled by its own answer.

use super::Shared;
use super::concurrency::AdaptiveConcurrency;
use super::groups::groups;
use super::round::{Attempt, Found, Round, deliver as deliver_batch};
use super::timeout_attribution::{Answer, RetryLimits, TimeoutAttribution};
use crate::error::{ProjectorError, chain};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use millstream_pipeline::queue::{Settled, Taken, Ticket};
use millstream_pipeline::sink::{Outcome, RetryCause};
use std::collections::VecDeque;
use tokio_util::sync::CancellationToken;

/// Rounds under way.
type Rounds<'a> = FuturesUnordered<BoxFuture<'a, Round>>;

struct Worker<'a> {
    shared: &'a Shared,
    pace: AdaptiveConcurrency,
    /// Taken, and waiting for the pace.
    waiting: VecDeque<Vec<Taken>>,
    unanswered: TimeoutAttribution,
    patience: RetryLimits,
    /// Rounds in a row that could not reach the sink, that it did not answer, or that it asked to be spared.
    outages: u32,
    /// Rounds that it had an answer in.
    answered: u64,
    /// The sink was prepared since it was reached last.
    prepared: bool,
}

/// Delivers until it is told to stop; then it waits for what is under way.
///
/// # Errors
/// Only when the lane fails, which a removed lane does: everything else is tried again.
pub(super) async fn deliver(shared: &Shared, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let (options, limits) = (&shared.deps.options, shared.deps.sink.limits());
    let patience = RetryLimits {
        poison: options.poison_backoff,
        outage: options.outage_backoff,
        request_life_max: limits.request_life_max,
    };
    let pace = AdaptiveConcurrency::new(limits.in_flight_max);
    let (waiting, unanswered) = (VecDeque::new(), TimeoutAttribution::default());
    let mut worker = Worker { shared, pace, waiting, unanswered, patience, outages: 0, answered: 0, prepared: false };
    worker.run(limits.batch_documents_max.max(1), stop).await
}

impl<'a> Worker<'a> {
    async fn run(&mut self, batch_max: usize, stop: &CancellationToken) -> Result<(), ProjectorError> {
        let lane = &self.shared.deps.lane;
        let mut rounds: Rounds<'a> = FuturesUnordered::new();
        let mut tending = self.until_tended();
        loop {
            if !self.prepared {
                // Nobody knows for how long the sink is away.
                self.give_back().await?;
            }
            if !self.prepared && rounds.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = self.prepare() => {}
                }
            }
            while self.prepared && !stop.is_cancelled() && rounds.len() < self.pace.allowed() {
                if self.waiting.is_empty() {
                    let batch = self.shared.take(batch_max).await?;
                    self.waiting.extend(groups(batch, |document_id| self.unanswered.company(document_id)));
                }
                let Some(group) = self.waiting.pop_front() else { break };
                rounds.push(Box::pin(deliver_batch(self.shared, group)));
            }
            if stop.is_cancelled() && rounds.is_empty() {
                return self.give_back().await;
            }
            self.shared.counters.in_flight(rounds.len(), self.pace.allowed());
            let has_room = self.prepared && !stop.is_cancelled() && rounds.len() < self.pace.allowed();
            tokio::select! {
                Some(round) = rounds.next() => self.settle(round).await?,
                ready = lane.ready(), if has_room => ready.map_err(ProjectorError::queue("waiting for deliveries"))?,
                () = &mut tending, if has_room && rounds.is_empty() => {
                    self.tend(stop).await;
                    tending = self.until_tended();
                }
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Waits until it is time again, however often the lane stirs meanwhile.
    fn until_tended(&self) -> BoxFuture<'static, ()> {
        let deps = &self.shared.deps;
        deps.clock.sleep(deps.options.tend_interval)
    }

    /// Looks after a sink at rest.
    async fn tend(&mut self, stop: &CancellationToken) {
        let tended = stop.run_until_cancelled(self.shared.deps.sink.tend()).await;
        if let Some(Err(error)) = tended {
            let problem = chain(&error);
            tracing::warn!(lane = self.shared.deps.name, problem, "the sink at rest could not be looked after");
            self.shared.counters.complained(self.shared.now_ms(), problem);
            self.prepared = false;
        }
    }

    /// Makes the sink ready, however long that takes.
    async fn prepare(&mut self) {
        let (deps, counters) = (&self.shared.deps, &self.shared.counters);
        loop {
            let error = match deps.sink.prepare().await {
                Ok(()) => break,
                Err(error) => error,
            };
            self.outages = self.outages.saturating_add(1);
            let (pause, problem) = (self.patience.outage.delay(self.outages), chain(&error));
            let pause_ms = pause.as_millis() as u64;
            tracing::warn!(lane = deps.name, problem, pause_ms, "the sink cannot be delivered to yet: trying again");
            counters.complained(self.shared.now_ms(), problem);
            deps.clock.sleep(pause).await;
        }
        self.prepared = true;
    }

    /// What was taken and not begun is still owed.
    async fn give_back(&mut self) -> Result<(), ProjectorError> {
        let waiting = self.waiting.drain(..).flatten().map(|taken| taken.ticket).collect();
        self.shared.give_back(waiting).await
    }

    async fn settle(&mut self, round: Round) -> Result<(), ProjectorError> {
        let counters = &self.shared.counters;
        let now_ms = self.shared.now_ms();
        self.learn(&round, now_ms);
        let settlements: Vec<(Ticket, Settled)> =
            round.attempts.iter().map(|attempt| (attempt.taken.ticket, self.judge(attempt, now_ms))).collect();
        let report = self.shared.settle(settlements).await?;
        counters.settled(&round, report.quarantined, now_ms);
        if let Some(error) = &round.outage {
            let problem = chain(error);
            tracing::warn!(
                lane = self.shared.deps.name,
                problem,
                "the bodies to deliver could not be read: trying again"
            );
            counters.complained(now_ms, problem);
        }
        Ok(())
    }

    /// What the round says about the sink as a whole.
    fn learn(&mut self, round: &Round, now_ms: u64) {
        if let Some(complaint) = round.complaint() {
            self.shared.counters.complained(now_ms, complaint.to_owned());
        }
        self.answered += u64::from(round.has_answer());
        if round.met(RetryCause::Unavailable) {
            self.outages = self.outages.saturating_add(1);
            self.pace.lost();
            // What it needs may be gone too.
            self.prepared = false;
        } else if round.met(RetryCause::Throttled) || round.met(RetryCause::Unanswered) {
            self.outages = self.outages.saturating_add(1);
            self.pace.was_too_much();
            // Whoever says nothing is asked whether it is there at all before it is given more.
            self.prepared &= !round.met(RetryCause::Unanswered);
        } else if round.outage.is_none() {
            self.outages = 0;
            self.pace.went_well();
        }
    }

    fn judge(&mut self, attempt: &Attempt, now_ms: u64) -> Settled {
        let options = &self.shared.deps.options;
        let Attempt { taken, found, company } = attempt;
        match found {
            Found::Answered { deleted, bytes, outcome } => {
                let sized = with_size(outcome, *bytes);
                let (outages, answered) = (self.outages, self.answered);
                let answer =
                    Answer { taken, deleted: *deleted, company: *company, outcome: &sized, outages, answered, now_ms };
                self.unanswered.settle(answer, &self.patience)
            }
            Found::Uncached => Settled::RetryAt { not_before_ms: self.shared.after_ms(options.uncached_pause) },
            Found::Unread => {
                Settled::RetryAt { not_before_ms: self.shared.after_ms(options.outage_backoff.delay(self.outages + 1)) }
            }
        }
    }
}

/// Whoever looks at a document in quarantine wants to know how large it was.
fn with_size(outcome: &Outcome, bytes: usize) -> Outcome {
    match outcome {
        Outcome::Rejected { reason } => Outcome::Rejected { reason: format!("{reason} ({bytes} bytes)") },
        Outcome::Retry { cause: RetryCause::Failed, reason } => {
            Outcome::retry(RetryCause::Failed, format!("{reason} ({bytes} bytes)"))
        }
        other => other.clone(),
    }
}
