//! Starting, cancelling and resuming the replays into one queue.

use super::job::{Job, JobState, Spec};
use super::state::{ReplayDeps, ReplayError, ReplayState};
use super::{page, walk};
use crate::error::ProjectorError;
use millstream_pipeline::clock::Clock;
use millstream_store::connect::Database;
use millstream_store::table::replay::TypeCount;
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

/// The replays into one queue, at most one at a time.
pub struct Replay {
    state: Arc<ReplayState>,
    tasks: TaskTracker,
    /// Locked while a replay is started or ended.
    control: tokio::sync::Mutex<CancellationToken>,
    /// Below the span that opened the replays: a request that starts one must not stay open until its end.
    span: Span,
}

impl Replay {
    /// Opens the replays into a queue. A replay that a crash or a stop interrupted resumes.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn open(deps: ReplayDeps) -> Result<Self, ReplayError> {
        let job = deps.ledger.load().await?;
        let running = job.as_ref().is_some_and(|job| job.state == JobState::Running);
        let state = Arc::new(ReplayState::new(deps, job));
        let span = tracing::error_span!("task", task = "replay", aim = ?state.deps.aim);
        let replay = Self { state, tasks: TaskTracker::new(), control: tokio::sync::Mutex::default(), span };
        if running {
            let stop = replay.control.lock().await.clone();
            replay.walk(stop);
        }
        Ok(replay)
    }

    /// Starts a replay and returns its first state, which is durable.
    ///
    /// # Errors
    /// [`ReplayError::Busy`] while another one runs; when the database cannot count the documents.
    pub async fn start(&self, spec: Spec) -> Result<Job, ReplayError> {
        let job = plan(&self.state.deps.database, &*self.state.deps.clock, spec).await?;
        let mut control = self.control.lock().await;
        if let Some(Job { state: JobState::Running, done, total, .. }) = self.state.job() {
            return Err(ReplayError::Busy { done, total });
        }
        // The end of the previous replay may not be stored yet: it must not overwrite this one.
        control.cancel();
        self.drain().await;
        self.state.save(job.clone()).await?;
        // The previous token is cancelled.
        *control = CancellationToken::new();
        self.walk(control.clone());
        Ok(job)
    }

    fn walk(&self, stop: CancellationToken) {
        let state = Arc::clone(&self.state);
        self.tasks.spawn(async move { walk::walk(&state, &stop).await }.instrument(self.span.clone()));
    }

    /// Ends the running replay. Returns whether there was one. Entries that it has enqueued stay.
    ///
    /// # Errors
    /// When the end cannot be stored.
    pub async fn cancel(&self) -> Result<bool, ReplayError> {
        let control = self.control.lock().await;
        control.cancel();
        self.drain().await;
        let Some(mut job) = self.state.job().filter(|job| job.state == JobState::Running) else { return Ok(false) };
        job.end(JobState::Cancelled, self.state.deps.clock.now_ms());
        self.state.save(job).await?;
        Ok(true)
    }

    /// Returns the last replay, running or not.
    pub fn job(&self) -> Option<Job> {
        self.state.job()
    }

    /// Stops the walk after the current page. The next [`Replay::open`] resumes it.
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

/// Returns the first state of a replay, to be stored before anything is enqueued: its start and the number of entries.
///
/// # Errors
/// When the database fails.
pub(crate) async fn plan(database: &Database, clock: &dyn Clock, spec: Spec) -> Result<Job, ProjectorError> {
    let total = page::count(database, &spec.selection).await?.iter().map(TypeCount::total).sum();
    let cursor = page::begin(database, &spec.selection).await?;
    Ok(Job::new(spec, cursor, total, clock.now_ms()))
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
        f.debug_struct("Replay").field("deps", &self.state.deps).field("job", &self.job()).finish_non_exhaustive()
    }
}
