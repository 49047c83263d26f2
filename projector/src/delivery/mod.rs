//! The delivery: from a sink's lane in the durable queue to the sink, at the sink's own pace.
//!
//! What it is: a [`Courier`] for each sink, which knows of no other sink. It takes entries out of its lane, reads what the
//! cache holds of them now, puts that, and settles each entry by its own answer. A sink that is away costs its lane at
//! most one entry a document, and nobody else anything (ISOLATED); a document that the sink refuses waits, then goes into
//! the lane's quarantine, alone.
//!
//! What it is not: it makes no bodies and decides no versions. What is delivered stood in `dms.DocumentCache`, or in
//! `dms.Tombstone`.

mod figures;
mod groups;
mod judge;
mod load;
mod pace;
mod round;
mod worker;

pub use figures::LaneReport;
pub(crate) use figures::count_from_zero;
pub use load::deliverable;

use crate::error::ProjectorError;
use crate::projector::StopError;
use crate::stage::{Fatal, Stage, wait_fatal};
use figures::LaneFigures;
use millstream_pipeline::Backoff;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::{SettleReport, Settled, Taken, Ticket, WorkQueue};
use millstream_pipeline::sink::Sink;
use millstream_store::connect::Database;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What a courier is made of.
#[derive(Clone)]
pub struct CourierDeps {
    /// Name of the lane, for `status`, metrics and logs.
    pub name: String,
    /// Where deliveries wait.
    pub lane: Arc<dyn WorkQueue>,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// Where their bodies are.
    pub database: Database,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Settings.
    pub options: CourierOptions,
}

impl fmt::Debug for CourierDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CourierDeps")
            .field("name", &self.name)
            .field("sink", &self.sink.describe())
            .finish_non_exhaustive()
    }
}

/// What can be chosen for a courier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CourierOptions {
    /// Pause before a document that failed is tried again.
    pub poison_backoff: Backoff,
    /// Pause while the sink or the database is away, or the sink asks for less.
    pub outage_backoff: Backoff,
    /// Pause before a document is looked for again that is neither cached nor deleted yet.
    pub uncached_pause: Duration,
    /// How often a sink with nothing to deliver is looked after ([`Sink::tend`]).
    pub tend_interval: Duration,
    /// How often rates are measured.
    pub gauge_interval: Duration,
}

impl Default for CourierOptions {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            poison_backoff: Backoff { base: ms(1_000), ceiling: ms(300_000) },
            outage_backoff: Backoff { base: ms(100), ceiling: ms(10_000) },
            uncached_pause: ms(250),
            tend_interval: ms(600_000),
            gauge_interval: ms(1_000),
        }
    }
}

/// What the tasks of one courier share.
pub(crate) struct Shared {
    pub(crate) deps: CourierDeps,
    pub(crate) figures: LaneFigures,
    /// What was taken from the lane and is not settled. Nobody else is handed it before it is.
    in_hand: Mutex<HashSet<Ticket>>,
}

impl Shared {
    fn now_ms(&self) -> u64 {
        self.deps.clock.now_ms()
    }

    fn in_hand(&self) -> MutexGuard<'_, HashSet<Ticket>> {
        // Nothing panics while it holds the lock.
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes entries from the lane.
    async fn take(&self, max: usize) -> Result<Vec<Taken>, ProjectorError> {
        let batch = self.deps.lane.take(max).await.map_err(ProjectorError::queue("taking deliveries from a lane"))?;
        self.in_hand().extend(batch.iter().map(|taken| taken.ticket));
        Ok(batch)
    }

    /// Settles entries that were taken.
    async fn settle(&self, settlements: Vec<(Ticket, Settled)>) -> Result<SettleReport, ProjectorError> {
        let tickets: Vec<Ticket> = settlements.iter().map(|(ticket, _)| *ticket).collect();
        let report = self.deps.lane.settle(settlements).await;
        let report = report.map_err(ProjectorError::queue("settling deliveries in a lane"))?;
        let mut in_hand = self.in_hand();
        for ticket in &tickets {
            in_hand.remove(ticket);
        }
        Ok(report)
    }

    /// Gives back what was taken and is still owed.
    async fn give_back(&self, tickets: Vec<Ticket>) -> Result<(), ProjectorError> {
        let not_before_ms = self.now_ms();
        let owed: Vec<_> = tickets.into_iter().map(|ticket| (ticket, Settled::RetryAt { not_before_ms })).collect();
        if owed.is_empty() { Ok(()) } else { self.settle(owed).await.map(drop) }
    }

    fn after_ms(&self, delay: Duration) -> u64 {
        self.now_ms().saturating_add(delay.as_millis() as u64)
    }
}

/// Starts couriers.
#[derive(Debug)]
pub struct Courier;

/// A courier that runs. Dropping it ends its tasks at their next await, which loses nothing: what was not settled is
/// delivered again. [`CourierHandle::stop`] ends it in good order.
pub struct CourierHandle {
    shared: Arc<Shared>,
    stage: Stage,
    fatal: watch::Receiver<Option<Arc<str>>>,
}

impl Courier {
    /// Starts delivering and returns at once. Must be called within a tokio runtime. A sink that is away is tried again
    /// for as long as it takes.
    #[must_use]
    pub fn start(deps: CourierDeps) -> CourierHandle {
        let figures = LaneFigures::new(&deps.name);
        let shared = Arc::new(Shared { deps, figures, in_hand: Mutex::default() });
        let fatal = Fatal::new();
        let mut stage = Stage::new("delivery", &fatal);
        let (task, stop) = (Arc::clone(&shared), stage.stop.clone());
        stage.spawn(async move { worker::deliver(&task, &stop).await });
        let (task, stop) = (Arc::clone(&shared), stage.stop.clone());
        stage.spawn(async move { figures::measure(&task, &stop).await });
        CourierHandle { shared, stage, fatal: fatal.subscribe() }
    }
}

impl CourierHandle {
    /// How it is doing, asked now.
    ///
    /// # Errors
    /// When the lane does not answer.
    pub fn status(&self) -> impl Future<Output = Result<LaneReport, ProjectorError>> + Send + use<> {
        let (shared, fatal) = (Arc::clone(&self.shared), self.fatal.borrow().as_deref().map(str::to_owned));
        async move { figures::report(&shared, fatal).await }
    }

    /// Whether the courier can no longer do its work ([`CourierHandle::fatal`]).
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.fatal.borrow().is_some()
    }

    /// Gives back to the lane what a courier that has given up had in hand, so that the next one is handed it.
    ///
    /// # Errors
    /// When the lane refuses.
    pub async fn give_back(&self) -> Result<(), ProjectorError> {
        let in_hand: Vec<Ticket> = self.shared.in_hand().iter().copied().collect();
        self.shared.give_back(in_hand).await
    }

    /// Completes when the courier can no longer do its work (its lane is gone), and says why. Never completes otherwise.
    /// Cancellation safe.
    pub async fn fatal(&self) -> String {
        wait_fatal(&self.fatal).await
    }

    /// Takes nothing more, waits for what is under way, and ends.
    ///
    /// # Errors
    /// When `deadline` passes first. The tasks are cut off then; what they had in hand is delivered again.
    pub async fn stop(self, deadline: Duration) -> Result<(), StopError> {
        let late = self.shared.deps.clock.sleep(deadline);
        tokio::select! {
            () = self.stage.drain() => Ok(()),
            () = late => {
                self.stage.abort();
                self.stage.drain().await;
                Err(StopError { stage: self.stage.name })
            }
        }
    }
}

impl Drop for CourierHandle {
    fn drop(&mut self) {
        self.stage.abort();
    }
}

impl fmt::Debug for CourierHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CourierHandle").field("deps", &self.shared.deps).finish_non_exhaustive()
    }
}
