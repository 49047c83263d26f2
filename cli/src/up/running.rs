//! The parts that run, and how they are brought to an end.

use super::{
    Up,
    board::{About, Board},
    options,
    parts::Parts,
    queue::Queue,
    upkeep,
};
use crate::{database::Server, failure::Failure, signal::Signals};
use millstream_api::{Drained, serve};
use millstream_store::connect::Database;
use std::{fmt, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pause between two looks at the managed server.
const LOOK_AT_SERVER_EVERY: Duration = Duration::from_millis(500);

/// Why a process ends.
#[derive(Debug)]
pub(super) enum Why {
    /// It was told to.
    Signal(&'static str),
    /// It can no longer do its work.
    Broken(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => f.write_str(signal),
            Self::Broken(reason) => f.write_str(reason),
        }
    }
}

/// Queue, projector, API and upkeep, running.
#[derive(Debug)]
pub(super) struct Running {
    /// Where the API listens.
    pub(super) address: String,
    board: Board,
    database: Database,
    queue: Queue,
    api: JoinHandle<Drained>,
    stop_api: CancellationToken,
    upkeep: TaskTracker,
    stop_upkeep: CancellationToken,
}

impl Running {
    /// Starts all parts on a provisioned database.
    pub(super) async fn start(
        up: &Up<'_>,
        listener: TcpListener,
        server: &Server,
        database: Database,
    ) -> Result<Self, Failure> {
        let (config, role, queue) = (up.config, &up.role, Queue::open(up.config, &database).await?);
        let address = format!("http://{}", listener.local_addr().map_err(Failure::failed)?);
        let parts = Parts::new(up, database.clone(), &queue).await?;
        let about = About {
            address: address.clone(),
            url: config.api.public_url.as_ref().map_or_else(|| address.clone(), ToString::to_string),
            effective_schema_hash: up.compiled.schema.hash.clone(),
            managed: server.cluster.is_some(),
            database: database.clone(),
            started: up.started,
            projector: parts.projector(),
            mapping: Arc::clone(&up.compiled.mapping),
            queue: queue.work(),
            lanes: queue.lanes(),
            source: Arc::clone(&parts.source),
            replay: parts.replay().await?,
            wanted: role.wanted(config),
            role: role.clone(),
            fleet: parts.fleet().await?,
            sinks: Arc::clone(&parts.sinks),
        };
        up.board.publish(about).await;
        let stop_api = CancellationToken::new();
        let api = parts.api().await?;
        let api = tokio::spawn(serve(listener, api, stop_api.clone(), options::server(config)));

        let (upkeep, stop_upkeep) = (TaskTracker::new(), CancellationToken::new());
        if role.keeps_house() {
            upkeep.spawn(upkeep::tombstones(up.board.clone(), config.tombstones_keep, stop_upkeep.clone()));
            upkeep.spawn(upkeep::outbox(
                database.clone(),
                options::projector(config).consumer,
                config.outbox_keep,
                stop_upkeep.clone(),
            ));
        }
        upkeep.spawn(upkeep::sinks(up.board.clone(), stop_upkeep.clone()));
        upkeep.spawn(upkeep::numbers(up.board.clone(), stop_upkeep.clone()));
        upkeep.spawn(upkeep::metrics(up.recorder.clone(), stop_upkeep.clone()));
        upkeep.close();
        Ok(Self { address, board: up.board.clone(), database, queue, api, stop_api, upkeep, stop_upkeep })
    }

    /// Waits for a signal, or for something to break that cannot mend itself.
    pub(super) async fn wait(&self, signals: &mut Signals, server: &mut Server) -> Why {
        tokio::select! {
            signal = signals.next() => Why::Signal(signal),
            reason = self.board.fatal() => Why::Broken(format!("the projector cannot go on: {reason}")),
            log = server_ended(server) => {
                Why::Broken(format!("the managed PostgreSQL server has ended; its log says:\n{log}"))
            }
        }
    }

    /// Stops in order. What is cut off at the deadline is told, and is done again after the next start.
    pub(super) async fn stop(self, deadline: Duration) -> Result<(), Failure> {
        let until = Instant::now() + deadline;
        self.stop_api.cancel();
        match self.api.await {
            Ok(drained) if drained.is_complete() => {}
            Ok(drained) => tracing::warn!(?drained, "not every request was answered"),
            Err(error) => tracing::error!(%error, "the API ended badly"),
        }
        self.stop_upkeep.cancel();
        if let Some(about) = self.board.take().await {
            let left = || until.saturating_duration_since(Instant::now());
            about.replay.stop().await;
            // Deliveries and rebuilds stop side by side: neither waits for the other.
            let projecting = async {
                match about.projector {
                    Some(projector) => projector.stop(left()).await,
                    None => Ok(()),
                }
            };
            let (projector, fleet) = tokio::join!(projecting, about.fleet.stop(left()));
            for error in [projector.err(), fleet.err()].into_iter().flatten() {
                tracing::warn!(error = %Failure::failed(error), "work in hand was cut off");
            }
        }
        self.upkeep.wait().await;
        let flushed = self.queue.close().await;
        self.database.close();
        flushed
    }
}

/// Completes when a server that this process manages has ended by itself; says what its log ends with.
async fn server_ended(server: &mut Server) -> String {
    let Some(cluster) = server.cluster.as_mut() else { return std::future::pending().await };
    loop {
        if let Some(log) = cluster.exit_reason() {
            return log;
        }
        tokio::time::sleep(LOOK_AT_SERVER_EVERY).await;
    }
}
