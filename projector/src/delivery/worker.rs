//! The delivery loop: as many concurrent rounds as the sink accepts, each entry settled by its own outcome.

use super::attempt::{Attempt, AttemptResult, Round};
use super::concurrency::AdaptiveConcurrency;
use super::groups::groups;
use super::lane_state::LaneState;
use super::round::deliver as deliver_group;
use super::timeout_attribution::{RetryLimits, SinkResponse, TimeoutAttribution};
use crate::error::{During, ProjectorError};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use millstream_pipeline::error::chain;
use millstream_pipeline::queue::{Settled, Taken, Ticket};
use millstream_pipeline::sink::{Outcome, RetryCause};
use std::collections::VecDeque;
use tokio_util::sync::CancellationToken;

/// Rounds in flight.
type Rounds<'a> = FuturesUnordered<BoxFuture<'a, Round>>;

struct DeliveryLoop<'a> {
    state: &'a LaneState,
    concurrency: AdaptiveConcurrency,
    /// Groups taken from the lane that wait for a free request.
    waiting: VecDeque<Vec<Taken>>,
    timeouts: TimeoutAttribution,
    limits: RetryLimits,
    /// Consecutive rounds in which the sink was unreachable, timed out or throttled.
    outages: u32,
    /// Rounds in which the sink processed any document.
    answered: u64,
    /// The sink was prepared since it was last unreachable.
    prepared: bool,
}

/// Delivers until `stop`, then waits for the rounds in flight.
///
/// # Errors
/// When the lane fails, as a removed lane does. Every other failure is retried.
pub(super) async fn deliver(state: &LaneState, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let (options, sink) = (&state.deps.options, state.deps.sink.limits());
    let limits = RetryLimits {
        poison: options.poison_backoff,
        outage: options.outage_backoff,
        request_life_max: sink.request_life_max,
    };
    let mut delivery = DeliveryLoop {
        state,
        concurrency: AdaptiveConcurrency::new(sink.in_flight_max),
        waiting: VecDeque::new(),
        timeouts: TimeoutAttribution::default(),
        limits,
        outages: 0,
        answered: 0,
        prepared: false,
    };
    delivery.run(sink.batch_documents_max.max(1), stop).await
}

impl<'a> DeliveryLoop<'a> {
    async fn run(&mut self, batch_max: usize, stop: &CancellationToken) -> Result<(), ProjectorError> {
        let lane = &self.state.deps.lane;
        let mut rounds: Rounds<'a> = FuturesUnordered::new();
        let mut next_tend = self.tend_timer();
        loop {
            if !self.prepared {
                // The outage may be long: hold no entries meanwhile.
                self.give_back().await?;
            }
            if !self.prepared && rounds.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = self.prepare() => {}
                }
            }
            while self.prepared && !stop.is_cancelled() && rounds.len() < self.concurrency.allowed() {
                if self.waiting.is_empty() {
                    let batch = self.state.take(batch_max).await?;
                    self.waiting.extend(groups(batch, |document_id| self.timeouts.timed_out_with(document_id)));
                }
                let Some(group) = self.waiting.pop_front() else { break };
                rounds.push(Box::pin(deliver_group(self.state, group)));
            }
            if stop.is_cancelled() && rounds.is_empty() {
                return self.give_back().await;
            }
            self.state.counters.set_requests(rounds.len(), self.concurrency.allowed());
            let is_free = self.prepared && !stop.is_cancelled() && rounds.len() < self.concurrency.allowed();
            tokio::select! {
                Some(round) = rounds.next() => self.settle(round).await?,
                ready = lane.ready(), if is_free => ready.during("waiting for deliveries")?,
                () = &mut next_tend, if is_free && rounds.is_empty() => {
                    self.tend(stop).await;
                    next_tend = self.tend_timer();
                }
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Returns a timer for the next [`DeliveryLoop::tend`]. Activity of the lane does not reset it.
    fn tend_timer(&self) -> BoxFuture<'static, ()> {
        let deps = &self.state.deps;
        deps.clock.sleep(deps.options.tend_interval)
    }

    /// Keeps an idle sink alive.
    async fn tend(&mut self, stop: &CancellationToken) {
        let tended = stop.run_until_cancelled(self.state.deps.sink.tend()).await;
        if let Some(Err(error)) = tended {
            let problem = chain(&error);
            tracing::warn!(problem, "failed to keep an idle sink alive; preparing it again");
            self.state.counters.record_error(self.state.now_ms(), problem);
            self.prepared = false;
        }
    }

    /// Prepares the sink, retrying without a limit.
    async fn prepare(&mut self) {
        let (deps, counters) = (&self.state.deps, &self.state.counters);
        loop {
            let error = match deps.sink.prepare().await {
                Ok(()) => break,
                Err(error) => error,
            };
            self.outages = self.outages.saturating_add(1);
            let (pause, problem) = (self.limits.outage.delay(self.outages), chain(&error));
            let pause_ms = pause.as_millis() as u64;
            tracing::warn!(problem, pause_ms, "failed to prepare the sink; retrying after the pause");
            counters.record_error(self.state.now_ms(), problem);
            deps.clock.sleep(pause).await;
        }
        self.prepared = true;
    }

    /// Returns the groups that have not been started to the lane.
    async fn give_back(&mut self) -> Result<(), ProjectorError> {
        let waiting = self.waiting.drain(..).flatten().map(|taken| taken.ticket).collect();
        self.state.give_back(waiting).await
    }

    async fn settle(&mut self, round: Round) -> Result<(), ProjectorError> {
        let counters = &self.state.counters;
        let now_ms = self.state.now_ms();
        self.adapt(&round, now_ms);
        let settlements: Vec<(Ticket, Settled)> =
            round.attempts.iter().map(|attempt| (attempt.taken.ticket, self.settlement(attempt, now_ms))).collect();
        let report = self.state.settle(settlements).await?;
        counters.count_round(&round, report.quarantined, now_ms);
        if let Some(error) = &round.outage {
            let problem = chain(error);
            tracing::warn!(problem, "failed to read documents to deliver; retrying");
            counters.record_error(now_ms, problem);
        }
        Ok(())
    }

    /// Adapts the concurrency and the state of the sink to the round's outcomes.
    fn adapt(&mut self, round: &Round, now_ms: u64) {
        if let Some(error) = round.sink_error() {
            self.state.counters.record_error(now_ms, error.to_owned());
        }
        self.answered += u64::from(round.has_answer());
        if round.has_retry(RetryCause::Unavailable) {
            self.outages = self.outages.saturating_add(1);
            self.concurrency.unreachable();
            // The objects that it needs may be gone too.
            self.prepared = false;
        } else if round.has_retry(RetryCause::Throttled) || round.has_retry(RetryCause::Unanswered) {
            self.outages = self.outages.saturating_add(1);
            self.concurrency.overloaded();
            // After a timeout, check that the sink is reachable before sending more.
            self.prepared &= !round.has_retry(RetryCause::Unanswered);
        } else if round.outage.is_none() {
            self.outages = 0;
            self.concurrency.succeeded();
        }
    }

    fn settlement(&mut self, attempt: &Attempt, now_ms: u64) -> Settled {
        let options = &self.state.deps.options;
        let Attempt { taken, result, group_size } = attempt;
        match result {
            AttemptResult::Answered { deleted, bytes, outcome } => {
                let response = SinkResponse {
                    taken,
                    deleted: *deleted,
                    group_size: *group_size,
                    outcome: &with_size(outcome, *bytes),
                    outages: self.outages,
                    answered: self.answered,
                    now_ms,
                };
                self.timeouts.settle(response, &self.limits)
            }
            AttemptResult::Uncached => Settled::RetryAt { not_before_ms: self.state.after_ms(options.uncached_pause) },
            AttemptResult::Unread => {
                Settled::RetryAt { not_before_ms: self.state.after_ms(options.outage_backoff.delay(self.outages + 1)) }
            }
        }
    }
}

/// Adds the document's size to the reason of a failure, for operators who look at the quarantine.
fn with_size(outcome: &Outcome, bytes: usize) -> Outcome {
    match outcome {
        Outcome::Rejected { reason } => Outcome::Rejected { reason: format!("{reason} ({bytes} bytes)") },
        Outcome::Retry { cause: RetryCause::Failed, reason } => {
            Outcome::retry(RetryCause::Failed, format!("{reason} ({bytes} bytes)"))
        }
        other => other.clone(),
    }
}
