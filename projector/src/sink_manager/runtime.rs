//! One lane with its sink: the courier, once the sink could be opened, and the replays into the lane.

use super::{LaneStatus, SinkManagerDeps, SinkManagerError};
use crate::delivery::{DeliveryWorker, DeliveryWorkerDeps, DeliveryWorkerHandle, LaneReport, count_from_zero};
use crate::error::{ProjectorError, chain};
use crate::projector::StopError;
use crate::replay::{Aim, NoteLedger, Replay, ReplayDeps};
use futures::future::BoxFuture;
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::sink::Sink;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct SinkRuntime {
    pub(super) lane: Arc<dyn WorkQueue>,
    pub(super) replay: Replay,
    delivery: Delivery,
}

enum Delivery {
    Running {
        sink: Arc<dyn Sink>,
        courier: DeliveryWorkerHandle,
    },
    /// Why the sink could not be opened.
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
    /// A lane whose sink may turn out not to open: then it is tried again.
    pub(super) async fn open(
        deps: &SinkManagerDeps,
        name: &str,
        lane: Arc<dyn WorkQueue>,
    ) -> Result<Self, SinkManagerError> {
        match open_sink(deps, name).await {
            Ok(sink) => Self::with_sink(deps, name, lane, sink).await,
            Err(error) => {
                let problem = chain(&error);
                tracing::error!(sink = name, problem, "nothing is delivered to this sink for now");
                let replay = replay(deps, name, &lane).await?;
                count_from_zero(name);
                Ok(Self { lane, replay, delivery: Delivery::Closed { problem } })
            }
        }
    }

    pub(super) async fn with_sink(
        deps: &SinkManagerDeps,
        name: &str,
        lane: Arc<dyn WorkQueue>,
        sink: Arc<dyn Sink>,
    ) -> Result<Self, SinkManagerError> {
        let replay = replay(deps, name, &lane).await?;
        let courier = start(deps, name, &lane, &sink);
        Ok(Self { lane, replay, delivery: Delivery::Running { sink, courier } })
    }

    /// Tries again to open a sink that could not be opened.
    pub(super) async fn open_again(&mut self, deps: &SinkManagerDeps, name: &str) {
        let Delivery::Closed { problem } = &mut self.delivery else { return };
        match open_sink(deps, name).await {
            Ok(sink) => {
                let courier = start(deps, name, &self.lane, &sink);
                self.delivery = Delivery::Running { sink, courier };
                tracing::info!(sink = name, "the sink could be opened");
            }
            Err(error) => *problem = chain(&error),
        }
    }

    /// Whether its courier has ended by itself, and what it had in hand is back in the lane.
    pub(super) async fn has_given_up(&self, name: &str) -> bool {
        let Delivery::Running { courier, .. } = &self.delivery else { return false };
        if !courier.has_given_up() {
            return false;
        }
        let given_back = courier.give_back().await;
        if let Err(error) = &given_back {
            let problem = chain(error);
            tracing::error!(sink = name, problem, "nothing is delivered to this sink: its lane takes nothing back");
        }
        given_back.is_ok()
    }

    pub(super) fn sink(&self) -> Option<Arc<dyn Sink>> {
        match &self.delivery {
            Delivery::Running { sink, .. } => Some(Arc::clone(sink)),
            Delivery::Closed { .. } => None,
        }
    }

    /// What to wait for to learn how it is doing; whoever waits holds nothing of the fleet.
    pub(super) fn status(&self, name: &str, paused: bool) -> BoxFuture<'static, Result<LaneStatus, SinkManagerError>> {
        let replay = self.replay.job().as_ref().map(Into::into);
        match &self.delivery {
            Delivery::Running { courier, .. } => {
                let report = courier.status();
                Box::pin(async move { Ok(LaneStatus { report: report.await?, paused, replay }) })
            }
            Delivery::Closed { problem } => {
                let (lane, name, problem) = (Arc::clone(&self.lane), name.to_owned(), problem.clone());
                Box::pin(async move {
                    let stats = lane.stats().await.map_err(ProjectorError::queue("reading a lane's counters"))?;
                    Ok(LaneStatus { report: LaneReport::closed(&name, &stats, problem), paused, replay })
                })
            }
        }
    }

    pub(super) async fn close(self, deadline: Duration) -> Result<(), StopError> {
        self.replay.stop().await;
        match self.delivery {
            Delivery::Running { courier, .. } => courier.stop(deadline).await,
            Delivery::Closed { .. } => Ok(()),
        }
    }
}

async fn replay(deps: &SinkManagerDeps, name: &str, lane: &Arc<dyn WorkQueue>) -> Result<Replay, SinkManagerError> {
    let replay = Replay::open(ReplayDeps {
        aim: Aim::Lane,
        queue: Arc::clone(lane),
        ledger: Arc::new(NoteLedger::new(Arc::clone(&deps.lanes), name)),
        database: deps.database.clone(),
        clock: Arc::clone(&deps.clock),
        options: deps.replay,
    });
    Ok(replay.await?)
}

fn start(deps: &SinkManagerDeps, name: &str, lane: &Arc<dyn WorkQueue>, sink: &Arc<dyn Sink>) -> DeliveryWorkerHandle {
    DeliveryWorker::start(DeliveryWorkerDeps {
        name: name.to_owned(),
        lane: Arc::clone(lane),
        sink: Arc::clone(sink),
        database: deps.database.clone(),
        clock: Arc::clone(&deps.clock),
        options: deps.courier,
    })
}
