//! Dependencies and options of one delivery worker, and the state that its tasks share.

use super::counters::LaneCounters;
use crate::error::{During, ProjectorError};
use millstream_pipeline::Backoff;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::{SettleReport, Settled, Taken, Ticket, WorkQueue};
use millstream_pipeline::sink::Sink;
use millstream_store::connect::Database;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Dependencies of a delivery worker.
#[derive(Clone)]
pub struct DeliveryWorkerDeps {
    /// Name of the lane, for `status`, metrics and logs.
    pub name: String,
    /// The lane.
    pub lane: Arc<dyn WorkQueue>,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// The database with the cached bodies.
    pub database: Database,
    /// The memory that bodies in flight take.
    pub memory: MemoryBudget,
    /// The clock.
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

/// Settings of a delivery worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryWorkerOptions {
    /// Delay between the attempts of a document that fails by itself.
    pub poison_backoff: Backoff,
    /// Delay between attempts while the sink or the database is unreachable, or the sink throttles.
    pub outage_backoff: Backoff,
    /// Delay before the next read of a document that is neither cached nor deleted yet.
    pub uncached_pause: Duration,
    /// Interval between calls of [`Sink::tend`] while the sink is idle.
    pub tend_interval: Duration,
    /// Interval at which rates are measured.
    pub gauge_interval: Duration,
}

impl Default for DeliveryWorkerOptions {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            poison_backoff: Backoff { base: ms(1_000), ceiling: ms(300_000) },
            outage_backoff: Backoff::RECONNECT,
            uncached_pause: ms(250),
            tend_interval: ms(600_000),
            gauge_interval: ms(1_000),
        }
    }
}

/// State that the tasks of one delivery worker share.
pub(super) struct LaneState {
    pub(super) deps: DeliveryWorkerDeps,
    pub(super) counters: LaneCounters,
    /// Entries that were taken and are not settled. Until then, the lane does not hand them to another worker.
    in_flight: Mutex<HashSet<Ticket>>,
}

impl LaneState {
    pub(super) fn new(deps: DeliveryWorkerDeps) -> Self {
        let counters = LaneCounters::new(&deps.name);
        Self { deps, counters, in_flight: Mutex::default() }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.deps.clock.now_ms()
    }

    pub(super) fn after_ms(&self, delay: Duration) -> u64 {
        self.now_ms().saturating_add(delay.as_millis() as u64)
    }

    /// Returns the entries that are taken and not settled.
    pub(super) fn in_flight(&self) -> Vec<Ticket> {
        self.in_flight.lock().iter().copied().collect()
    }

    /// Takes entries from the lane.
    pub(super) async fn take(&self, max: usize) -> Result<Vec<Taken>, ProjectorError> {
        let batch = self.deps.lane.take(max).await.during("taking deliveries from a lane")?;
        self.in_flight.lock().extend(batch.iter().map(|taken| taken.ticket));
        Ok(batch)
    }

    /// Settles entries that were taken.
    pub(super) async fn settle(&self, settlements: Vec<(Ticket, Settled)>) -> Result<SettleReport, ProjectorError> {
        let tickets: Vec<Ticket> = settlements.iter().map(|(ticket, _)| *ticket).collect();
        let report = self.deps.lane.settle(settlements).await.during("settling deliveries in a lane")?;
        let mut in_flight = self.in_flight.lock();
        for ticket in &tickets {
            in_flight.remove(ticket);
        }
        Ok(report)
    }

    /// Returns entries to the lane without delivering them. They are ready again at once.
    pub(super) async fn give_back(&self, tickets: Vec<Ticket>) -> Result<(), ProjectorError> {
        let not_before_ms = self.now_ms();
        let retries: Vec<_> = tickets.into_iter().map(|ticket| (ticket, Settled::RetryAt { not_before_ms })).collect();
        if retries.is_empty() { Ok(()) } else { self.settle(retries).await.map(drop) }
    }
}
