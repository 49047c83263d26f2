//! Adding, removing and reporting on sinks.

use super::adopt::{KnownLanes, adopt};
use super::deps::{SinkManagerDeps, SinkManagerError};
use super::report::LaneStatus;
use super::runtime::{SinkRuntime, open_sink};
use crate::metrics::export;
use crate::replay::job::{Job, JobState, Selection, Spec};
use crate::replay::ledger::{Ledger, NoteLedger};
use crate::replay::{ReplayError, runner};
use crate::task_group::StopError;
use futures::future::join_all;
use millstream_pipeline::error::chain;
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::sink::Sink;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

/// Interval at which sinks that could not be opened are retried and the lanes are read again.
const ADOPT_INTERVAL: Duration = Duration::from_secs(5);

/// The sinks that this process serves.
pub struct SinkManager {
    deps: SinkManagerDeps,
    runtimes: Arc<RwLock<BTreeMap<String, SinkRuntime>>>,
    known: KnownLanes,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// The parent of the spans of all lanes, whichever request added them.
    span: Span,
}

impl SinkManager {
    /// Starts the lanes of the queue that this process serves, and those that any process adds later.
    ///
    /// # Errors
    /// When the queue does not answer, or the stored progress of a replay cannot be read.
    pub async fn start(deps: SinkManagerDeps) -> Result<Self, SinkManagerError> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let span = tracing::error_span!("task", task = "sink_manager");
        let runtimes = Arc::default();
        let manager = Self { runtimes, known: KnownLanes::default(), tasks, stop, deps, span: span.clone() };
        let adopted = async { adopt(&manager.deps, &mut *manager.runtimes.write().await, &manager.known).await };
        adopted.instrument(span.clone()).await?;
        let (deps, runtimes, stop) = (manager.deps.clone(), Arc::clone(&manager.runtimes), manager.stop.clone());
        manager.tasks.spawn(async move { measure(&deps, &runtimes, &stop).await }.instrument(span.clone()));
        let (deps, runtimes, stop) = (manager.deps.clone(), Arc::clone(&manager.runtimes), manager.stop.clone());
        let known = Arc::clone(&manager.known);
        manager.tasks.spawn(async move { supervise(&deps, &runtimes, &known, &stop).await }.instrument(span));
        Ok(manager)
    }

    /// Adds a sink: every later change is enqueued for it. With `fill`, existing documents are too.
    ///
    /// Steps that can fail come before the lane is created, and the note of the replay right after it: a crash leaves a
    /// sink that is being filled, or a lane without a note, which [`SinkManager::fill_if_interrupted`] recognises.
    ///
    /// # Errors
    /// [`SinkManagerError::Exists`]; [`SinkManagerError::Sink`] when it cannot be opened. The sink is not added then.
    pub async fn add(&self, name: &str, fill: Option<Spec>) -> Result<(), SinkManagerError> {
        let mut runtimes = self.runtimes.write().await;
        if runtimes.contains_key(name) {
            return Err(SinkManagerError::Exists(name.to_owned()));
        }
        let sink = open_sink(&self.deps, name).await?;
        let spec = fill.clone().unwrap_or_else(|| backfill(None));
        let mut job = runner::plan(&self.deps.database, &*self.deps.clock, spec).await?;
        if fill.is_none() {
            job.end(JobState::Cancelled, job.started_at_ms);
        }
        let lane = self.deps.lanes.add_lane(name).await?;
        if let Err(error) = NoteLedger::new(Arc::clone(&self.deps.lanes), name).save(&job).await {
            // The sink is not added. If the removal fails too, the lane without a note is filled later.
            self.deps.lanes.remove_lane(name).await?;
            return Err(ReplayError::from(error).into());
        }
        let runtime = SinkRuntime::with_sink(&self.deps, name, lane, sink).instrument(self.span.clone()).await?;
        runtimes.insert(name.to_owned(), runtime);
        tracing::info!(sink = name, "sink added");
        Ok(())
    }

    /// Fills a sink whose addition was interrupted between its lane and the note of its replay. Returns whether it was.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`] while this process has not started the lane; when the queue fails.
    pub async fn fill_if_interrupted(&self, name: &str) -> Result<bool, SinkManagerError> {
        let noted = NoteLedger::new(Arc::clone(&self.deps.lanes), name).load().await.map_err(ReplayError::from)?;
        if noted.is_some() {
            return Ok(false);
        }
        self.replay(name, backfill(None)).await?;
        tracing::warn!(sink = name, "addition of a sink was interrupted before it was filled; filling it now");
        Ok(true)
    }

    /// Removes a sink with its lane. The sink's contents stay.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`]; when the queue fails.
    pub async fn remove(&self, name: &str, deadline: Duration) -> Result<(), SinkManagerError> {
        let mut runtimes = self.runtimes.write().await;
        let Some(runtime) = runtimes.remove(name) else { return Err(unknown(name, &runtimes)) };
        if let Err(error) = runtime.close(deadline).await {
            tracing::warn!(sink = name, %error, "aborted deliveries to a removed sink");
        }
        self.deps.lanes.remove_lane(name).await?;
        self.known.lock().retain(|known| known != name);
        export::lane(&LaneStatus::removed(name));
        tracing::info!(sink = name, "sink removed");
        Ok(())
    }

    /// Pauses or resumes a sink. While it is paused, its lane holds at most one entry per document.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`]; when the queue fails.
    pub async fn set_paused(&self, name: &str, paused: bool) -> Result<(), SinkManagerError> {
        let mut runtimes = self.runtimes.write().await;
        if !runtimes.contains_key(name) {
            return Err(unknown(name, &runtimes));
        }
        self.deps.lanes.set_paused(name, paused).await?;
        if let Some(runtime) = runtimes.get_mut(name).filter(|_| !paused) {
            runtime.reopen(&self.deps, name).instrument(self.span.clone()).await;
        }
        Ok(())
    }

    /// Enqueues documents for a sink again.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`]; [`ReplayError::Busy`] while another replay into its lane runs.
    pub async fn replay(&self, name: &str, spec: Spec) -> Result<Job, SinkManagerError> {
        let runtimes = self.runtimes.read().await;
        let runtime = runtimes.get(name).ok_or_else(|| unknown(name, &runtimes))?;
        Ok(runtime.replay.start(spec).await?)
    }

    /// Ends the replay into a sink's lane. Returns whether there was one.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`]; when the end cannot be stored.
    pub async fn cancel_replay(&self, name: &str) -> Result<bool, SinkManagerError> {
        let runtimes = self.runtimes.read().await;
        let runtime = runtimes.get(name).ok_or_else(|| unknown(name, &runtimes))?;
        Ok(runtime.replay.cancel().await?)
    }

    /// Returns the lane and the sink of this name; no sink while it cannot be opened, or another process serves it.
    ///
    /// # Errors
    /// [`SinkManagerError::Unknown`].
    pub async fn get(&self, name: &str) -> Result<(Arc<dyn WorkQueue>, Option<Arc<dyn Sink>>), SinkManagerError> {
        let runtimes = self.runtimes.read().await;
        if let Some(runtime) = runtimes.get(name) {
            return Ok((Arc::clone(&runtime.lane), runtime.sink()));
        }
        match self.deps.lanes.lane(name).await? {
            Some(lane) => Ok((lane, None)),
            None => Err(unknown(name, &runtimes)),
        }
    }

    /// Returns the names of all lanes, in order, those that other processes serve included.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn names(&self) -> Result<Vec<String>, SinkManagerError> {
        let names: Vec<String> = self.deps.lanes.lanes().await?.into_iter().map(|lane| lane.name).collect();
        self.known.lock().clone_from(&names);
        Ok(names)
    }

    /// Returns the names of all lanes as they were last read, without waiting for the queue. Lanes that another process
    /// adds or removes show within seconds.
    pub fn names_seen(&self) -> Vec<String> {
        self.known.lock().clone()
    }

    /// Whether a sink is still being filled with the documents that existed before it. Also works for lanes that other
    /// processes serve.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn is_being_filled(&self, name: &str) -> Result<bool, SinkManagerError> {
        let job = NoteLedger::new(Arc::clone(&self.deps.lanes), name).load().await.map_err(ReplayError::from)?;
        Ok(job.is_some_and(|job| job.state == JobState::Running && job.spec == backfill(job.spec.per_s_max)))
    }

    /// Whether this process delivers from the lane of this name.
    pub async fn serves(&self, name: &str) -> bool {
        self.runtimes.read().await.contains_key(name)
    }

    /// Returns the status of each lane, in the order of their names.
    ///
    /// # Errors
    /// When the queue does not answer.
    pub async fn status(&self) -> Result<Vec<LaneStatus>, SinkManagerError> {
        measure_lanes(&self.deps, &self.runtimes).await
    }

    /// Stops every delivery worker and every replay.
    ///
    /// # Errors
    /// When `deadline` passes first for one of them. Its in-flight entries are delivered again.
    pub async fn stop(&self, deadline: Duration) -> Result<(), StopError> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let runtimes = std::mem::take(&mut *self.runtimes.write().await);
        let closed = join_all(runtimes.into_values().map(|runtime| runtime.close(deadline))).await;
        closed.into_iter().collect()
    }
}

/// Reads and exports the status of every lane.
async fn measure_lanes(
    deps: &SinkManagerDeps,
    runtimes: &RwLock<BTreeMap<String, SinkRuntime>>,
) -> Result<Vec<LaneStatus>, SinkManagerError> {
    let paused: BTreeMap<String, bool> =
        deps.lanes.lanes().await?.into_iter().map(|lane| (lane.name, lane.paused)).collect();
    let requests: Vec<_> = {
        let runtimes = runtimes.read().await;
        let request = |(name, runtime): (&String, &SinkRuntime)| {
            let status = runtime.status(name, paused.get(name).copied().unwrap_or_default());
            let name = name.clone();
            async move { (name, status.await) }
        };
        runtimes.iter().map(request).collect()
    };
    // Without the lock: a slow lane must not block adding and removing others.
    let answers = join_all(requests).await;
    let runtimes = runtimes.read().await;
    let mut all = Vec::with_capacity(answers.len());
    // A lane that was removed meanwhile is not an error, and must not be exported again.
    for (_, status) in answers.into_iter().filter(|(name, _)| runtimes.contains_key(name)) {
        let status = status?;
        export::lane(&status);
        all.push(status);
    }
    Ok(all)
}

/// Retries sinks that could not be opened, and follows the lanes of the queue, until `stop`.
async fn supervise(
    deps: &SinkManagerDeps,
    runtimes: &RwLock<BTreeMap<String, SinkRuntime>>,
    known: &KnownLanes,
    stop: &CancellationToken,
) {
    while stop.run_until_cancelled(deps.clock.sleep(ADOPT_INTERVAL)).await.is_some() {
        let mut runtimes = runtimes.write().await;
        for (name, runtime) in runtimes.iter_mut() {
            runtime.reopen(deps, name).await;
        }
        if let Err(error) = adopt(deps, &mut runtimes, known).await {
            tracing::warn!(
                problem = chain(&error),
                "failed to read the lanes of the queue; retrying at the next interval"
            );
        }
    }
}

/// Exports the metrics of every lane, those of lanes whose sink cannot be opened included.
async fn measure(deps: &SinkManagerDeps, runtimes: &RwLock<BTreeMap<String, SinkRuntime>>, stop: &CancellationToken) {
    while stop.run_until_cancelled(deps.clock.sleep(deps.delivery.gauge_interval)).await.is_some() {
        if let Some(Err(error)) = stop.run_until_cancelled(measure_lanes(deps, runtimes)).await {
            tracing::debug!(problem = chain(&error), "failed to measure the lanes; retrying at the next interval");
        }
    }
}

/// Returns the specification of a replay that fills a new sink: all documents, deletes included.
#[must_use]
pub const fn backfill(per_s_max: Option<u32>) -> Spec {
    Spec { selection: Selection::All, per_s_max, repair: false, empty: false }
}

fn unknown(name: &str, runtimes: &BTreeMap<String, SinkRuntime>) -> SinkManagerError {
    SinkManagerError::Unknown { name: name.to_owned(), names: runtimes.keys().cloned().collect() }
}

impl Drop for SinkManager {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for SinkManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkManager").field("deps", &self.deps).finish_non_exhaustive()
    }
}
