//! One sink at run time: its lane, the replays into it, and the delivery worker once the sink could be opened.

use super::deps::{SinkManagerDeps, SinkManagerError};
use super::report::LaneStatus;
use crate::delivery::counters::{LaneReport, register};
use crate::delivery::{DeliveryWorker, DeliveryWorkerDeps, DeliveryWorkerHandle};
use crate::error::During;
use crate::replay::{Aim, NoteLedger, Replay, ReplayDeps};
use crate::task_group::StopError;
use futures::future::BoxFuture;
use millstream_pipeline::error::chain;
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::sink::Sink;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

/// One sink with its lane.
pub(super) struct SinkRuntime {
    pub(super) lane: Arc<dyn WorkQueue>,
    pub(super) replay: Replay,
    worker: WorkerState,
}

/// The delivery worker of a sink.
enum WorkerState {
    Running {
        sink: Arc<dyn Sink>,
        worker: DeliveryWorkerHandle,
    },
    /// The sink could not be opened.
    Closed {
        problem: String,
    },
}

/// Opens the sink of a lane.
pub(super) async fn open_sink(deps: &SinkManagerDeps, name: &str) -> Result<Arc<dyn Sink>, SinkManagerError> {
    let opened = deps.sinks.open(name).await;
    opened.map_err(|source| SinkManagerError::Sink { name: name.to_owned(), source })
}

impl SinkRuntime {
    /// Starts a lane. If its sink cannot be opened, that is retried by [`SinkRuntime::reopen`].
    pub(super) async fn open(
        deps: &SinkManagerDeps,
        name: &str,
        lane: Arc<dyn WorkQueue>,
    ) -> Result<Self, SinkManagerError> {
        match open_sink(deps, name).await {
            Ok(sink) => Self::with_sink(deps, name, lane, sink).await,
            Err(error) => {
                let problem = chain(&error);
                tracing::error!(sink = name, problem, "failed to open a sink; retrying every few seconds");
                let replay = open_replay(deps, name, &lane).await?;
                register(name);
                Ok(Self { lane, replay, worker: WorkerState::Closed { problem } })
            }
        }
    }

    /// Starts a lane with its open sink.
    pub(super) async fn with_sink(
        deps: &SinkManagerDeps,
        name: &str,
        lane: Arc<dyn WorkQueue>,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, SinkManagerError> {
        let replay = open_replay(deps, name, &lane).await?;
        let worker = start_worker(deps, name, &lane, &sink);
        Ok(Self { lane, replay, worker: WorkerState::Running { sink, worker } })
    }

    /// Retries a sink that could not be opened.
    pub(super) async fn reopen(&mut self, deps: &SinkManagerDeps, name: &str) {
        let WorkerState::Closed { problem } = &mut self.worker else { return };
        match open_sink(deps, name).await {
            Ok(sink) => {
                let worker = start_worker(deps, name, &self.lane, &sink);
                self.worker = WorkerState::Running { sink, worker };
                tracing::info!(sink = name, "sink opened");
            }
            Err(error) => *problem = chain(&error),
        }
    }

    /// Whether its worker has given up and its in-flight entries are back in the lane.
    pub(super) async fn has_given_up(&self, name: &str) -> bool {
        let WorkerState::Running { worker, .. } = &self.worker else { return false };
        if !worker.has_given_up() {
            return false;
        }
        let given_back = worker.give_back().await;
        if let Err(error) = &given_back {
            let problem = chain(error);
            tracing::error!(
                sink = name,
                problem,
                "failed to return in-flight entries to the lane of a stopped delivery worker; retrying"
            );
        }
        given_back.is_ok()
    }

    /// Returns the sink, if it is open.
    pub(super) fn sink(&self) -> Option<Arc<dyn Sink>> {
        match &self.worker {
            WorkerState::Running { sink, .. } => Some(Arc::clone(sink)),
            WorkerState::Closed { .. } => None,
        }
    }

    /// Returns a future of its status. The future borrows nothing, so it can be awaited without the manager's lock.
    pub(super) fn status(&self, name: &str, paused: bool) -> BoxFuture<'static, Result<LaneStatus, SinkManagerError>> {
        let replay = self.replay.job().as_ref().map(Into::into);
        match &self.worker {
            WorkerState::Running { worker, .. } => {
                let report = worker.status();
                Box::pin(async move { Ok(LaneStatus { report: report.await?, paused, replay }) })
            }
            WorkerState::Closed { problem } => {
                let (lane, name, problem) = (Arc::clone(&self.lane), name.to_owned(), problem.clone());
                Box::pin(async move {
                    let stats = lane.stats().await.during("reading a lane's counters")?;
                    Ok(LaneStatus { report: LaneReport::closed(&name, &stats, problem), paused, replay })
                })
            }
        }
    }

    /// Stops the replay and the worker.
    pub(super) async fn close(self, deadline: Duration) -> Result<(), StopError> {
        self.replay.stop().await;
        match self.worker {
            WorkerState::Running { worker, .. } => worker.stop(deadline).await,
            WorkerState::Closed { .. } => Ok(()),
        }
    }
}

async fn open_replay(
    deps: &SinkManagerDeps,
    name: &str,
    lane: &Arc<dyn WorkQueue>,
) -> Result<Replay, SinkManagerError> {
    let replay = Replay::open(ReplayDeps {
        aim: Aim::Lane,
        queue: Arc::clone(lane),
        ledger: Arc::new(NoteLedger::new(Arc::clone(&deps.lanes), name)),
        database: deps.database.clone(),
        clock: Arc::clone(&deps.clock),
        options: deps.replay,
    });
    Ok(replay.instrument(tracing::error_span!("lane", lane = name)).await?)
}

fn start_worker(
    deps: &SinkManagerDeps,
    name: &str,
    lane: &Arc<dyn WorkQueue>,
    sink: &Arc<dyn Sink>,
) -> DeliveryWorkerHandle {
    DeliveryWorker::start(DeliveryWorkerDeps {
        name: name.to_owned(),
        lane: Arc::clone(lane),
        sink: Arc::clone(sink),
        database: deps.database.clone(),
        memory: deps.memory.clone(),
        clock: Arc::clone(&deps.clock),
        options: deps.delivery,
    })
}
