//! The delivery: from a sink's lane in the durable queue to the sink, at the sink's own pace.
//!
//! What it is: a [`DeliveryWorker`] for each sink, which knows of no other sink. It takes entries out of its lane, reads what the
//! cache holds of them now, puts that, and settles each entry by its own answer. A sink that is away costs its lane at
//! most one entry a document, and nobody else anything (ISOLATED); a document that the sink refuses waits, then goes into
//! the lane's quarantine, alone.
//!
//! What it is not: it makes no bodies and decides no versions. What is delivered stood in `dms.DocumentCache`, or in
//! `dms.Tombstone`.

mod concurrency;
mod counters;
mod groups;
mod load;
mod round;
mod timeout_attribution;
mod worker;

pub use counters::LaneReport;
pub(crate) use counters::count_from_zero;
pub use load::deliverable;

use crate::error::ProjectorError;
use crate::projector::StopError;
use crate::task_group::{Fatal, TaskGroup, wait_fatal};
use counters::LaneCounters;
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
pub struct DeliveryWorkerDeps {
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
    pub options: DeliveryWorkerOptions,
}

impl fmt::Debug for DeliveryWorkerDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryWorkerDeps")
            .field("name", &self.name)
            .field("sink", &self.sink.describe())
            .finish_non_exhaustive()
    }
}

/// What can be chosen for a courier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryWorkerOptions {
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

impl Default for DeliveryWorkerOptions {
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
    pub(crate) deps: DeliveryWorkerDeps,
    pub(crate) counters: LaneCounters,
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
pub struct DeliveryWorker;

/// A courier that runs. Dropping it ends its tasks at their next await, which loses nothing: what was not settled is
/// delivered again. [`DeliveryWorkerHandle::stop`] ends it in good order.
pub struct DeliveryWorkerHandle {
    shared: Arc<Shared>,
    stage: TaskGroup,
    fatal: watch::Receiver<Option<Arc<str>>>,
}

impl DeliveryWorker {
    /// Starts delivering and returns at once. Must be called within a tokio runtime. A sink that is away is tried again
    /// for as long as it takes.
    #[must_use]
    pub fn start(deps: DeliveryWorkerDeps) -> DeliveryWorkerHandle {
        let counters = LaneCounters::new(&deps.name);
        let shared = Arc::new(Shared { deps, counters, in_hand: Mutex::default() });
        let fatal = Fatal::new();
        let mut stage = TaskGroup::new("delivery", &fatal);
        let (task, stop) = (Arc::clone(&shared), stage.stop.clone());
        stage.spawn(async move { worker::deliver(&task, &stop).await });
        let (task, stop) = (Arc::clone(&shared), stage.stop.clone());
        stage.spawn(async move { counters::measure(&task, &stop).await });
        DeliveryWorkerHandle { shared, stage, fatal: fatal.subscribe() }
    }
}

impl DeliveryWorkerHandle {
    /// How it is doing, asked now.
    ///
    /// # Errors
    /// When the lane does not answer.
    pub fn status(&self) -> impl Future<Output = Result<LaneReport, ProjectorError>> + Send + use<> {
        let (shared, fatal) = (Arc::clone(&self.shared), self.fatal.borrow().as_deref().map(str::to_owned));
        async move { counters::report(&shared, fatal).await }
    }

    /// Whether the courier can no longer do its work ([`DeliveryWorkerHandle::fatal`]).
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
                Err(StopError { group: self.stage.name })
            }
        }
    }
}

impl Drop for DeliveryWorkerHandle {
    fn drop(&mut self) {
        self.stage.abort();
    }
}

impl fmt::Debug for DeliveryWorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryWorkerHandle").field("deps", &self.shared.deps).finish_non_exhaustive()
    }
}
