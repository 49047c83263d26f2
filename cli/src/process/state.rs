//! The shared state of a process: which components run. It exists before the first component starts and until the last
//! has stopped, so that status and health requests are always answered.

use super::{pools::Pools, role::Role};
use crate::{failure::Failure, sink_kind::SinkKind, sinks::Sinks};
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::{Lanes, WorkQueue};
use millstream_projector::{
    ProjectorHandle, SourceFactory, SystemClock, caught_up,
    reconcile::{ReconcileDeps, is_reconciled, reconcile},
    replay::{JobState, Replay},
    sink_manager::SinkManager,
};
use millstream_schema::plan::Mapping;
use millstream_store::{load::Caches, origin::Origin};
use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

/// Pause between two checks whether the backfill of a sink still runs.
const BACKFILL_POLL: Duration = Duration::from_millis(50);

/// The components of a process that has started.
pub(crate) struct RunningProcess {
    /// Address of the HTTP server.
    pub(crate) address: String,
    /// Address that clients use.
    pub(crate) url: String,
    pub(crate) effective_schema_hash: String,
    /// Whether this process manages the database server.
    pub(crate) managed: bool,
    pub(crate) pools: Pools,
    /// The memory that documents of this process take.
    pub(crate) memory: MemoryBudget,
    /// The check of every new session of this process.
    pub(crate) origin: Arc<Origin>,
    pub(crate) started: Instant,
    /// The part of the projector that the role runs.
    pub(crate) projector: Option<ProjectorHandle>,
    pub(crate) mapping: Arc<Mapping>,
    /// Identities and descriptors that composing remembers, shared by all components of this process.
    pub(crate) caches: Arc<Caches>,
    /// The cache queue.
    pub(crate) queue: Arc<dyn WorkQueue>,
    /// The lanes, one per copy.
    pub(crate) lanes: Arc<dyn Lanes>,
    /// The source of changes, which this or another process follows.
    pub(crate) source: Arc<dyn SourceFactory>,
    /// Replays into the cache.
    pub(crate) replay: Replay,
    pub(crate) role: Role,
    /// Mismatches that make the process unready; `None` unless `watchdog.on_mismatch` is `unhealthy`.
    pub(crate) mismatches: Option<Arc<AtomicU64>>,
    pub(crate) sink_manager: SinkManager,
    /// The sinks that this process adds if they are missing.
    pub(crate) wanted: Vec<SinkKind>,
    /// The configured sinks.
    pub(crate) sinks: Arc<Sinks>,
}

impl RunningProcess {
    /// Waits until everything that was committed is in the cache and, with a lane, delivered from it.
    pub(crate) async fn caught_up(&self, lane: Option<&str>) -> Result<(), Failure> {
        let lane = match lane {
            Some(name) => {
                // Until the backfill of a sink is done, old documents may not be enqueued yet; in a new history of the
                // database it may hold what no longer exists.
                while self.sink_manager.is_being_filled(name).await.map_err(Failure::failed)?
                    || !is_reconciled(&self.pools.background, name).await.map_err(Failure::failed)?
                {
                    tokio::time::sleep(BACKFILL_POLL).await;
                }
                Some(self.sink_manager.get(name).await.map_err(Failure::failed)?.0)
            }
            None => None,
        };
        let waited =
            caught_up(&self.pools.background, &*self.source, &*self.queue, lane.as_deref(), &SystemClock).await;
        waited.map_err(Failure::failed)
    }

    /// Compares the sinks that this process serves with the tables, if the database has begun a new history since.
    pub(crate) async fn reconcile_sinks(&self) -> Result<(), Failure> {
        let deps = ReconcileDeps {
            database: self.pools.background.clone(),
            memory: self.memory.clone(),
            source: Arc::clone(&self.source),
            queue: Arc::clone(&self.queue),
            clock: Arc::new(SystemClock),
        };
        let mut lanes = self.sink_manager.status().await.map_err(Failure::failed)?;
        lanes
            .retain(|lane| !lane.paused && lane.replay.as_ref().is_none_or(|replay| replay.state != JobState::Running));
        // Side by side: one that cannot be read must not hold up the others.
        let each = lanes.iter().map(async |lane| {
            let name = &lane.report.name;
            if let Err(error) = self.reconcile_sink(&deps, name).await {
                tracing::warn!(lane = name, %error, "failed to compare a sink with the tables; retrying");
            }
        });
        futures::future::join_all(each).await;
        Ok(())
    }

    async fn reconcile_sink(&self, deps: &ReconcileDeps, name: &str) -> Result<(), Failure> {
        if let (queue, Some(sink)) = self.sink_manager.get(name).await.map_err(Failure::failed)? {
            reconcile(deps, name, &*queue, &*sink).await.map_err(Failure::failed)?;
        }
        Ok(())
    }

    /// Returns the name of a resource type as in the URL, if the schema has it.
    pub(crate) fn resource_name(&self, key: i16) -> Option<String> {
        resource_name(&self.mapping, key)
    }
}

/// Returns the name of a resource type as in the URL, if the schema has it.
pub(crate) fn resource_name(mapping: &Mapping, key: i16) -> Option<String> {
    let resource = mapping.resources.iter().find(|resource| resource.key == key)?;
    Some(format!("{}/{}", resource.project_endpoint, resource.endpoint))
}

/// The state of the process: its components while they run. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct ProcessState {
    running: Arc<RwLock<Option<RunningProcess>>>,
    /// Cancelled before the stop, so that long readers release the components.
    closing: CancellationToken,
}

impl ProcessState {
    /// Publishes the components. Called once, when all of them have started.
    pub(crate) async fn publish(&self, running: RunningProcess) {
        *self.running.write().await = Some(running);
    }

    /// Takes the components back to stop them. Cancels everything that uses them.
    pub(crate) async fn take(&self) -> Option<RunningProcess> {
        self.closing.cancel();
        self.running.write().await.take()
    }

    /// Completes when the projector has stopped for good; returns why. Cancellation safe.
    pub(crate) async fn projector_failure(&self) -> String {
        match self.running.read().await.as_ref() {
            Some(RunningProcess { projector: Some(projector), .. }) => projector.fatal().await,
            _ => std::future::pending().await,
        }
    }

    /// Calls `work` with the components while they run, and cancels it when they stop.
    pub(crate) async fn with<T>(&self, work: impl AsyncFnOnce(&RunningProcess) -> T) -> Result<T, Failure> {
        const NOT_NOW: &str = "this Millstream is starting or stopping: try again in a moment";
        let running = self.running.read().await;
        let running = running.as_ref().ok_or_else(|| Failure::failed(NOT_NOW))?;
        self.closing.run_until_cancelled(work(running)).await.ok_or_else(|| Failure::failed(NOT_NOW))
    }

    /// Calls `work` with the components, or without them while they start or stop. Not cancelled by a stop, which waits
    /// for it.
    pub(crate) async fn view<T>(&self, work: impl AsyncFnOnce(Option<&RunningProcess>) -> T) -> T {
        work(self.running.read().await.as_ref()).await
    }
}

impl fmt::Debug for ProcessState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessState").finish_non_exhaustive()
    }
}
