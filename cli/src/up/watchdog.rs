//! The task of the consistency watchdog, and the repairs that it asks for.

use super::options;
use crate::{
    config::Config,
    failure::Failure,
    process::state::{ProcessState, RunningProcess},
    rebuild_entries::enqueue_rebuilds,
};
use futures::future::BoxFuture;
use millstream_pipeline::queue::WorkQueue;
use millstream_projector::{
    SystemClock,
    watchdog::{IncidentLog, RepairDocuments, Watchdog, WatchdogDeps, WatchedSink},
};
use millstream_store::{connect::Database, load::Caches};
use millstream_writer::Repairer;
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause before the watchdog is started again if the process is not ready or the database does not answer.
const START_PAUSE: Duration = Duration::from_secs(5);

/// Repairs derived rows in this process and enqueues the bodies.
struct ProcessRepairs {
    repairer: Repairer,
    database: Database,
    queue: Arc<dyn WorkQueue>,
    caches: Arc<Caches>,
}

impl RepairDocuments for ProcessRepairs {
    fn repair<'a>(
        &'a self,
        documents: &'a [Uuid],
    ) -> BoxFuture<'a, Result<(), Box<dyn std::error::Error + Send + Sync>>> {
        Box::pin(async move {
            let repaired = self.repairer.repair(documents).await?;
            self.caches.clear();
            let mut bodies: Vec<Uuid> = documents.to_vec();
            bodies.extend(repaired.iter().map(|repair| repair.uuid));
            bodies.sort_unstable();
            bodies.dedup();
            enqueue_rebuilds(&self.database, &*self.queue, &bodies).await.map_err(|error| error.to_string())?;
            let left: Vec<String> = repaired.into_iter().flat_map(|repair| repair.left).collect();
            if left.is_empty() { Ok(()) } else { Err(left.join("; ").into()) }
        })
    }
}

/// Runs rounds until stopped. `open` counts the mismatches that are not mended.
pub(super) async fn watch(
    state: ProcessState,
    config: Config,
    log: Arc<IncidentLog>,
    open: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let mut watchdog = None;
    loop {
        let round = state.with(async |process| round(process, &config, &log, &open, &mut watchdog).await);
        let pause = match round.await {
            Ok(Ok(pause)) => pause,
            Ok(Err(error)) => {
                tracing::warn!(%error, "failed to start the watchdog; retrying");
                START_PAUSE
            }
            Err(_) => START_PAUSE,
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn round(
    process: &RunningProcess,
    config: &Config,
    log: &Arc<IncidentLog>,
    open: &Arc<AtomicU64>,
    watchdog: &mut Option<Watchdog>,
) -> Result<Duration, Failure> {
    let watchdog = match watchdog {
        Some(watchdog) => watchdog,
        None => {
            let started = Watchdog::new(deps(process, config, log), Arc::clone(open)).await;
            watchdog.insert(started.map_err(Failure::failed)?)
        }
    };
    let sinks = watched_sinks(process).await?;
    Ok(watchdog.round(&sinks).await.pause)
}

fn deps(process: &RunningProcess, config: &Config, log: &Arc<IncidentLog>) -> WatchdogDeps {
    let (database, mapping) = (process.pools.background.clone(), Arc::clone(&process.mapping));
    let repairer = Repairer::new(database.clone(), Arc::clone(&mapping), options::writer(config));
    let (queue, caches) = (Arc::clone(&process.queue), Arc::clone(&process.caches));
    let repairer = ProcessRepairs { repairer, database: database.clone(), queue: Arc::clone(&queue), caches };
    WatchdogDeps {
        database,
        memory: process.memory.clone(),
        mapping,
        queue,
        source: Arc::clone(&process.source),
        clock: Arc::new(SystemClock),
        log: Arc::clone(log),
        repairer: Arc::new(repairer),
        options: config.watchdog,
    }
}

/// The sinks that this process delivers to and can open. A lane that is paused or being filled is not judged.
async fn watched_sinks(process: &RunningProcess) -> Result<Vec<WatchedSink>, Failure> {
    let mut sinks = Vec::new();
    for name in process.lane_names().await? {
        if !process.sink_manager.serves(&name).await
            || process.sink_manager.is_being_filled(&name).await.map_err(Failure::failed)?
        {
            continue;
        }
        let lane = process.lane(name).await?;
        if let Some(sink) = lane.sink {
            sinks.push(WatchedSink { lane: lane.name, queue: lane.queue, sink });
        }
    }
    Ok(sinks)
}
