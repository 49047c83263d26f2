//! Replay: documents are owed again, to the cache or to one sink, beside whatever else goes on.
//!
//! What it is: a walk over what a [`Selection`] names, page by page in key order, that puts an entry for each document into
//! the stage's queue or into a sink's lane. Filling a sink that was just added, delivering again what a sink lost, and
//! making the whole cache anew are all this walk. Deletes are part of it: tombstones are walked too.
//!
//! It is safe while everything runs, because an entry says no more than "look at this document again": what is delivered
//! is what the cache holds then, and versions decide. It goes on after a crash: its place is stored after each page
//! ([`Ledger`]), so at most one page is owed twice. It keeps to its rate, and waits while the queue before it is long, so a
//! backlog stays bounded.
//!
//! What it is not: it delivers nothing and composes nothing. When a replay is finished its entries may still wait.

mod job;
mod ledger;
mod page;
mod walk;

pub use job::{Job, JobState, Selection, Spec};
pub use ledger::{FileLedger, Ledger, LedgerError, NoteLedger};
pub(crate) use page::deleted_after;
pub use page::{Counted, count};

use crate::error::ProjectorError;
use millstream_pipeline::Backoff;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::WorkQueue;
use millstream_store::connect::Database;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where the entries of a replay go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Into the stage: bodies are composed again, and delivered to every sink.
    Cache,
    /// Into a lane: bodies are delivered again as the cache holds them. What is not cached yet is on its way there anyway.
    Lane,
}

/// What a replay is made of.
#[derive(Clone)]
pub struct ReplayDeps {
    /// What the entries are for.
    pub aim: Aim,
    /// Where they go.
    pub queue: Arc<dyn WorkQueue>,
    /// Where its place is kept.
    pub ledger: Arc<dyn Ledger>,
    /// What is walked.
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

/// What can be chosen for replays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayOptions {
    /// Documents of a page.
    pub page: usize,
    /// While more entries than these wait, nothing is added.
    pub queue_max: u64,
    /// Pause while the database is away.
    pub outage_backoff: Backoff,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        let outage_backoff = Backoff { base: Duration::from_millis(100), ceiling: Duration::from_secs(10) };
        Self { page: 500, queue_max: 20_000, outage_backoff }
    }
}

/// Why a replay was not started or ended.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// One at a time for each target.
    #[error(
        "a replay is under way here already ({done} of {total} documents): wait for it, or end it with `replay --cancel`"
    )]
    Busy {
        /// Entries put so far.
        done: u64,
        /// Entries in all, as counted at its start.
        total: u64,
    },
    /// The database or the queue failed.
    #[error(transparent)]
    Projector(#[from] ProjectorError),
    /// Its place cannot be stored.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The replays into one queue: none or one at a time.
pub struct Replay {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    /// Held while one is started or ended.
    control: tokio::sync::Mutex<CancellationToken>,
}

struct Shared {
    deps: ReplayDeps,
    job: Mutex<Option<Job>>,
}

impl Shared {
    fn job(&self) -> Option<Job> {
        self.job.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, job: Job) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
    }

    /// Stores the job, then shows it.
    async fn keep(&self, job: Job) -> Result<(), LedgerError> {
        self.deps.ledger.save(&job).await?;
        self.set(job);
        Ok(())
    }
}

impl Replay {
    /// The replays into a queue. One that a crash or a stop interrupted goes on at once.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn open(deps: ReplayDeps) -> Result<Self, ReplayError> {
        let job = deps.ledger.load().await?;
        let running = job.as_ref().is_some_and(|job| job.state == JobState::Running);
        let shared = Arc::new(Shared { deps, job: Mutex::new(job) });
        let replay = Self { shared, tasks: TaskTracker::new(), control: tokio::sync::Mutex::default() };
        if running {
            let stop = replay.control.lock().await.clone();
            replay.walk(stop);
        }
        Ok(replay)
    }

    /// Starts one and returns its first state, durable.
    ///
    /// # Errors
    /// [`ReplayError::Busy`] while another one runs; when the database cannot say how much there is to do.
    pub async fn start(&self, spec: Spec) -> Result<Job, ReplayError> {
        let job = plan(&self.shared.deps.database, &*self.shared.deps.clock, spec).await?;
        let mut control = self.control.lock().await;
        if let Some(Job { state: JobState::Running, done, total, .. }) = self.shared.job() {
            return Err(ReplayError::Busy { done, total });
        }
        // The end of the one before may not be stored yet: it must not be stored over this one.
        control.cancel();
        self.drain().await;
        self.shared.keep(job.clone()).await?;
        // The token of the one before is used up.
        *control = CancellationToken::new();
        self.walk(control.clone());
        Ok(job)
    }

    fn walk(&self, stop: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move { walk::walk(&shared, &stop).await });
    }

    /// Ends the one that runs, for good. Answers whether there was one. What it has put already stays owed.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub async fn cancel(&self) -> Result<bool, ReplayError> {
        let control = self.control.lock().await;
        control.cancel();
        self.drain().await;
        let Some(mut job) = self.shared.job().filter(|job| job.state == JobState::Running) else { return Ok(false) };
        job.end(JobState::Cancelled, self.shared.deps.clock.now_ms());
        self.shared.keep(job).await?;
        Ok(true)
    }

    /// The last one, running or not.
    pub fn job(&self) -> Option<Job> {
        self.shared.job()
    }

    /// Ends the walk after the page in hand. The next [`Replay::open`] goes on.
    pub async fn stop(&self) {
        self.control.lock().await.cancel();
        self.drain().await;
    }

    async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

/// The first state of a replay that is to be stored before anything is put: where it begins and how much there is.
///
/// # Errors
/// When the database cannot say.
pub(crate) async fn plan(database: &Database, clock: &dyn Clock, spec: Spec) -> Result<Job, ProjectorError> {
    let total = count(database, &spec.selection).await?.iter().map(Counted::all).sum();
    let place = page::begin(database, &spec.selection).await?;
    Ok(Job::new(spec, place, total, clock.now_ms()))
}

impl Drop for Replay {
    fn drop(&mut self) {
        if let Ok(control) = self.control.try_lock() {
            control.cancel();
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("deps", &self.shared.deps).field("job", &self.job()).finish_non_exhaustive()
    }
}
