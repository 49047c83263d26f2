//! The parts of a replay, its options and errors, and the job as its task and its callers share it.

use super::job::{Aim, Job};
use super::ledger::{Ledger, LedgerError};
use crate::error::ProjectorError;
use millstream_pipeline::Backoff;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::WorkQueue;
use millstream_store::connect::Database;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// The parts that a replay works with.
#[derive(Clone)]
pub struct ReplayDeps {
    /// The destination of its entries.
    pub aim: Aim,
    /// The cache queue or the lane.
    pub queue: Arc<dyn WorkQueue>,
    /// Storage of its progress.
    pub ledger: Arc<dyn Ledger>,
    /// The database whose documents are walked.
    pub database: Database,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Settings.
    pub options: ReplayOptions,
}

impl fmt::Debug for ReplayDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayDeps").field("aim", &self.aim).field("options", &self.options).finish_non_exhaustive()
    }
}

/// Settings of replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayOptions {
    /// Documents per page.
    pub page: usize,
    /// The walk pauses while the queue holds more entries than this.
    pub queue_max: u64,
    /// Pause while the database is unreachable.
    pub outage_backoff: Backoff,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { page: 500, queue_max: 20_000, outage_backoff: Backoff::RECONNECT }
    }
}

/// A failure to start, cancel or resume a replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Another replay into the same target is running.
    #[error(
        "a replay is under way here already ({done} of {total} documents): wait for it, or end it with `replay --cancel`"
    )]
    Busy {
        /// Entries enqueued so far.
        done: u64,
        /// All entries, as counted at its start.
        total: u64,
    },
    /// The database or the queue failed.
    #[error(transparent)]
    Projector(#[from] ProjectorError),
    /// Its progress cannot be loaded or stored.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The job in memory, shared by the walk and the callers of [`super::Replay`].
pub(super) struct ReplayState {
    pub(super) deps: ReplayDeps,
    job: Mutex<Option<Job>>,
}

impl ReplayState {
    pub(super) fn new(deps: ReplayDeps, job: Option<Job>) -> Self {
        Self { deps, job: Mutex::new(job) }
    }

    pub(super) fn job(&self) -> Option<Job> {
        self.job.lock().clone()
    }

    pub(super) fn set(&self, job: Job) {
        *self.job.lock() = Some(job);
    }

    /// Stores the job durably, then in memory.
    pub(super) async fn save(&self, job: Job) -> Result<(), LedgerError> {
        self.deps.ledger.save(&job).await?;
        self.set(job);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn outages_are_waited_for_from_100_ms_to_10_s() {
        let backoff = ReplayOptions::default().outage_backoff;
        assert_eq!((backoff.base, backoff.ceiling), (Duration::from_millis(100), Duration::from_secs(10)));
    }
}
