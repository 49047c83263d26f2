//! Starting, reporting on and stopping one delivery worker.

use super::counters::LaneReport;
use super::lane_state::{DeliveryWorkerDeps, LaneState};
use super::worker;
use crate::error::{During, ProjectorError};
use crate::status::ErrorReport;
use crate::task_group::{Fatal, StopError, TaskGroup, wait_fatal};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Starts delivery workers.
#[derive(Debug)]
pub struct DeliveryWorker;

/// A running delivery worker.
///
/// Dropping it ends its tasks at their next await. That loses nothing: unsettled entries are delivered again.
/// [`DeliveryWorkerHandle::stop`] lets requests in flight finish.
pub struct DeliveryWorkerHandle {
    state: Arc<LaneState>,
    tasks: TaskGroup,
    fatal: watch::Receiver<Option<Arc<str>>>,
}

impl DeliveryWorker {
    /// Starts delivering and returns immediately. Call it within a tokio runtime. An unreachable sink is retried
    /// without a limit.
    #[must_use]
    pub fn start(deps: DeliveryWorkerDeps) -> DeliveryWorkerHandle {
        let span = tracing::error_span!("task", task = "delivery", lane = deps.name, sink = deps.sink.describe());
        let state = Arc::new(LaneState::new(deps));
        let fatal = Fatal::new();
        let mut tasks = TaskGroup::new("delivery", span, &fatal);
        let (task, stop) = (Arc::clone(&state), tasks.stop.clone());
        tasks.spawn(async move { worker::deliver(&task, &stop).await });
        let (task, stop) = (Arc::clone(&state), tasks.stop.clone());
        tasks.spawn(async move { measure_rate(&task, &stop).await });
        DeliveryWorkerHandle { state, tasks, fatal: fatal.subscribe() }
    }
}

/// Measures the delivery rate until `stop`.
async fn measure_rate(state: &LaneState, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let mut before = (state.now_ms(), 0);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = state.deps.clock.sleep(state.deps.options.gauge_interval) => {}
        }
        let now = (state.now_ms(), state.counters.delivered());
        state.counters.set_rate((now.1 - before.1) * 1_000 / now.0.saturating_sub(before.0).max(1));
        before = now;
    }
}

impl DeliveryWorkerHandle {
    /// Reads the lane and returns the worker's report.
    ///
    /// # Errors
    /// When the lane does not answer.
    pub fn status(&self) -> impl Future<Output = Result<LaneReport, ProjectorError>> + Send + use<> {
        let (state, fatal) = (Arc::clone(&self.state), self.fatal.borrow().as_deref().map(str::to_owned));
        async move {
            let stats = state.deps.lane.stats().await.during("reading a lane's counters")?;
            let report = state.counters.report(state.deps.sink.describe(), &stats, fatal);
            let problem = state.deps.lane.problem().map(ErrorReport::from);
            Ok(LaneReport { last_error: problem.or(report.last_error), ..report })
        }
    }

    /// Whether the worker has stopped after a failure ([`DeliveryWorkerHandle::fatal`]).
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.fatal.borrow().is_some()
    }

    /// Returns the in-flight entries of a worker that has given up to the lane, so that its successor gets them.
    ///
    /// # Errors
    /// When the lane fails.
    pub async fn give_back(&self) -> Result<(), ProjectorError> {
        self.state.give_back(self.state.in_flight()).await
    }

    /// Completes with the reason once the worker cannot continue (its lane is gone). Never completes otherwise.
    /// Cancellation safe.
    pub async fn fatal(&self) -> String {
        wait_fatal(&self.fatal).await
    }

    /// Takes no more entries, waits for requests in flight, and ends.
    ///
    /// # Errors
    /// When `deadline` passes first. The tasks are then aborted; their in-flight entries are delivered again.
    pub async fn stop(self, deadline: Duration) -> Result<(), StopError> {
        let late = self.state.deps.clock.sleep(deadline);
        tokio::select! {
            () = self.tasks.drain() => Ok(()),
            () = late => {
                self.tasks.abort();
                self.tasks.drain().await;
                Err(StopError { group: self.tasks.name })
            }
        }
    }
}

impl Drop for DeliveryWorkerHandle {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

impl fmt::Debug for DeliveryWorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryWorkerHandle").field("deps", &self.state.deps).finish_non_exhaustive()
    }
}
