//! The running components, and their stop.

use super::{components::Components, context::StartContext, maintenance, options, queue::Queue, watchdog};
use crate::{
    database::Server,
    failure::Failure,
    process::{
        pools::Pools,
        role::Role,
        state::{ProcessState, RunningProcess},
    },
    signal::Signals,
    telemetry::{self, recorder},
};
use millstream_api::{Drained, serve};
use millstream_projector::watchdog::{IncidentLog, OnMismatch};
use millstream_store::{connect::Database, origin::Origin};
use millstream_writer::Lanes;
use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pause between two checks of the managed server.
const SERVER_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Why a process stops.
#[derive(Debug)]
pub(super) enum StopReason {
    /// A signal arrived.
    Signal(&'static str),
    /// A component failed and cannot recover by itself.
    Broken(String),
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => f.write_str(signal),
            Self::Broken(reason) => f.write_str(reason),
        }
    }
}

/// Queue, projector, API and maintenance tasks of a running process.
#[derive(Debug)]
pub(super) struct Running {
    /// Address of the HTTP server.
    pub(super) address: String,
    state: ProcessState,
    pools: Pools,
    queue: Queue,
    api: JoinHandle<Drained>,
    /// They end when the API, which holds the writer, has ended.
    lanes: Option<JoinHandle<()>>,
    lanes_broken: CancellationToken,
    stop_api: CancellationToken,
    maintenance: TaskTracker,
    stop_maintenance: CancellationToken,
}

impl Running {
    /// Starts all components on a provisioned database.
    pub(super) async fn start(
        context: &StartContext<'_>,
        listener: TcpListener,
        server: &Server,
        pools: Pools,
        origin: &Arc<Origin>,
    ) -> Result<Self, Failure> {
        let (config, role) = (context.config, context.role);
        let queue = Queue::open(config, &pools.background).await?;
        let address = format!("http://{}", listener.local_addr().map_err(Failure::failed)?);
        let components = Components::new(context, pools.clone(), &queue).await?;
        let mismatches = Arc::<AtomicU64>::default();
        let process = RunningProcess {
            address: address.clone(),
            url: config.api.public_url.as_ref().map_or_else(|| address.clone(), ToString::to_string),
            effective_schema_hash: context.compiled.schema.hash.clone(),
            managed: server.cluster.is_some(),
            pools: pools.clone(),
            memory: components.memory.clone(),
            origin: Arc::clone(origin),
            started: context.started,
            projector: components.projector(),
            mapping: Arc::clone(&context.compiled.mapping),
            caches: Arc::clone(&components.caches),
            queue: queue.work(),
            lanes: queue.lanes(),
            source: Arc::clone(&components.source),
            replay: components.replay().await?,
            wanted: role.wanted(config),
            role,
            mismatches: (config.watchdog.on_mismatch == OnMismatch::Unhealthy).then(|| Arc::clone(&mismatches)),
            sink_manager: components.sink_manager().await?,
            sinks: Arc::clone(&components.sinks),
        };
        let state = context.state.clone();
        state.publish(process).await;
        let stop_api = CancellationToken::new();
        let (api, lanes) = components.api().await?;
        let lanes_broken = CancellationToken::new();
        let lanes = lanes.map(|lanes| tokio::spawn(telemetry::task("lanes", run_lanes(lanes, lanes_broken.clone()))));
        let serving = serve(listener, api, stop_api.clone(), options::server(config));
        let api = tokio::spawn(telemetry::task("api", serving));
        let (maintenance, stop_maintenance) = start_maintenance(context, &pools.background, mismatches)?;
        Ok(Self { address, state, pools, queue, api, lanes, lanes_broken, stop_api, maintenance, stop_maintenance })
    }

    /// Waits for a signal, or for a failure that the process cannot recover from.
    pub(super) async fn wait(&self, signals: &mut Signals, server: &mut Server) -> StopReason {
        tokio::select! {
            signal = signals.next() => StopReason::Signal(signal),
            reason = self.state.projector_failure() => {
                StopReason::Broken(format!("the projector cannot go on: {reason}"))
            }
            () = self.lanes_broken.cancelled() => {
                StopReason::Broken("a lane of the writer has panicked; the log says where".to_owned())
            }
            log = server_ended(server) => {
                StopReason::Broken(format!("the managed PostgreSQL server has ended; its log says:\n{log}"))
            }
        }
    }

    /// Stops the components in order. Work that the deadline cuts off is logged, and repeated after the next start.
    pub(super) async fn stop(self, deadline: Duration) -> Result<(), Failure> {
        let until = Instant::now() + deadline;
        self.stop_api.cancel();
        match self.api.await {
            Ok(drained) if drained.is_complete() => {}
            Ok(drained) => tracing::warn!(?drained, "stopped the API before every request was answered"),
            Err(error) => tracing::error!(%error, "the task of the API panicked"),
        }
        if let Some(lanes) = self.lanes
            && tokio::time::timeout_at(until, lanes).await.is_err()
        {
            tracing::warn!("stopped before every write that had begun was answered");
        }
        self.stop_maintenance.cancel();
        if let Some(process) = self.state.take().await {
            let left = || until.saturating_duration_since(Instant::now());
            process.replay.stop().await;
            // Deliveries and rebuilds stop side by side: neither depends on the other.
            let projector = async {
                match process.projector {
                    Some(projector) => projector.stop(left()).await,
                    None => Ok(()),
                }
            };
            let (projector, sinks) = tokio::join!(projector, process.sink_manager.stop(left()));
            for error in [projector.err(), sinks.err()].into_iter().flatten() {
                tracing::warn!(error = %Failure::failed(error), "cut off work in flight; the next start resumes it");
            }
        }
        self.maintenance.wait().await;
        let flushed = self.queue.close().await;
        self.pools.close();
        flushed
    }
}

/// Runs the lanes of the writer; `broken` is cancelled if one of them ends before the writer.
async fn run_lanes(lanes: Lanes, broken: CancellationToken) {
    if let Err(error) = lanes.run().await {
        tracing::error!(%error, "a lane of the writer panicked");
        broken.cancel();
    }
}

/// Starts the maintenance tasks of the role.
fn start_maintenance(
    context: &StartContext<'_>,
    database: &Database,
    mismatches: Arc<AtomicU64>,
) -> Result<(TaskTracker, CancellationToken), Failure> {
    let (config, state) = (context.config, &context.state);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    if context.role.maintains_database() {
        let tombstones = maintenance::tombstones(state.clone(), config.tombstones_keep, stop.clone());
        tasks.spawn(telemetry::task("tombstones", tombstones));
        let consumer = options::projector(config).consumer;
        let outbox = maintenance::outbox(database.clone(), consumer, config.outbox_keep, stop.clone());
        tasks.spawn(telemetry::task("outbox", outbox));
    }
    tasks.spawn(telemetry::task("reconcile", maintenance::reconcile_sinks(state.clone(), stop.clone())));
    tasks.spawn(telemetry::task("wanted_sinks", maintenance::wanted_sinks(state.clone(), stop.clone())));
    tasks.spawn(telemetry::task("process_metrics", maintenance::process_metrics(state.clone(), stop.clone())));
    tasks.spawn(telemetry::task("recorder", recorder::maintain(context.recorder.clone(), stop.clone())));
    let rate = config.watchdog.documents_per_s.is_some() || !config.watchdog.pass.is_zero();
    if rate && matches!(context.role, Role::All | Role::Project) {
        let log = Arc::new(IncidentLog::open(&config.data_dir).map_err(Failure::failed)?);
        let watching = watchdog::watch(state.clone(), config.clone(), log, mismatches, stop.clone());
        tasks.spawn(telemetry::task("watchdog", watching));
    }
    tasks.close();
    Ok((tasks, stop))
}

/// Completes when the managed server has ended by itself; returns the end of its log.
async fn server_ended(server: &mut Server) -> String {
    let Some(cluster) = server.cluster.as_mut() else { return std::future::pending().await };
    loop {
        if let Some(log) = cluster.exit_reason() {
            return log;
        }
        tokio::time::sleep(SERVER_CHECK_INTERVAL).await;
    }
}
