//! The parts that run, and how they are brought to an end.

use super::{
    Up,
    board::{About, Board},
    options,
    queue::Queue,
    role::Role,
    search::Searching,
    source::SlotFactory,
    upkeep,
};
use crate::{database::Server, failure::Failure, signal::Signals, sinks::Sinks};
use millstream_api::{Api, ApiParts, Drained, Extras, SearchParts, StoreReader, serve};
use millstream_projector::{
    Deps, Projector, ProjectorOptions, SystemClock,
    delivery::CourierOptions,
    fleet::{Fleet, FleetDeps},
    replay::{Aim, FileLedger, Replay, ReplayDeps, ReplayOptions},
};
use millstream_store::{connect::Database, load::Caches};
use millstream_writer::Writer;
use std::{fmt, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Pause between two looks at the managed server.
const LOOK_AT_SERVER_EVERY: Duration = Duration::from_millis(500);

/// Where the place of a replay into the cache is kept, in the data folder.
const REPLAY_FILE: &str = "replay.json";

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
        let config = up.config;
        let mapping = Arc::clone(&up.compiled.mapping);
        let writer = {
            let (database, mapping, options) = (database.clone(), Arc::clone(&mapping), options::writer(config));
            let built = tokio::task::spawn_blocking(move || Writer::new(database, mapping, options));
            built.await.map_err(Failure::failed)?.map_err(Failure::failed)?
        };
        let (role, queue) = (up.role.clone(), Queue::open(config).await?);
        let caches = Arc::new(Caches::default());
        let projector_options = options::projector(config);
        let consumer = projector_options.consumer.clone();
        let address = format!("http://{}", listener.local_addr().map_err(Failure::failed)?);
        let url = config.api.public_url.as_ref().map_or_else(|| address.clone(), ToString::to_string);
        let projector = role.part().map(|part| {
            Projector::start(Deps {
                database: database.clone(),
                mapping: Arc::clone(&mapping),
                caches: Arc::clone(&caches),
                queue: queue.work(),
                source: Arc::new(SlotFactory::new(&server.options, &config.source.slot, &config.source.publication)),
                clock: Arc::new(SystemClock),
                options: ProjectorOptions { part, ..projector_options },
            })
        });
        let sinks = Arc::new(Sinks::new(config, &up.compiled));
        let model = Arc::clone(&sinks.model);
        let fleet = Fleet::start(FleetDeps {
            lanes: queue.lanes(),
            sinks: Arc::<Sinks>::clone(&sinks),
            database: database.clone(),
            clock: Arc::new(SystemClock),
            courier: CourierOptions::default(),
            replay: ReplayOptions::default(),
            serves: role.lanes(),
        });
        let fleet = fleet.await.map_err(Failure::failed)?;
        let replay = Replay::open(ReplayDeps {
            aim: Aim::Cache,
            queue: queue.work(),
            ledger: Arc::new(FileLedger::new(config.data_dir.join(REPLAY_FILE))),
            database: database.clone(),
            clock: Arc::new(SystemClock),
            options: ReplayOptions::default(),
        });
        let replay = replay.await.map_err(Failure::failed)?;
        let about = About {
            address: address.clone(),
            url,
            effective_schema_hash: up.compiled.schema.hash.clone(),
            managed: server.cluster.is_some(),
            database: database.clone(),
            started: up.started,
            projector,
            mapping: Arc::clone(&mapping),
            queue: queue.work(),
            replay,
            wanted: role.wanted(config),
            role: role.clone(),
            fleet,
            sinks,
        };
        up.board.publish(about).await;

        let recorder = up.recorder.clone();
        let parts = ApiParts {
            mapping: Arc::clone(&mapping),
            reader: Arc::new(StoreReader::new(database.clone(), mapping, caches)),
            writer: Arc::new(writer),
            probe: up.board.probe(),
            metrics: Arc::new(move || recorder.render()),
        };
        let stop_api = CancellationToken::new();
        let searching = Arc::new(Searching::new(up.board.clone(), config.sinks.engine.clone(), up.role == Role::All));
        let extras = Extras {
            search: Some(SearchParts { engine: Arc::<Searching>::clone(&searching), model }),
            copies: Some(searching),
            status_only: !role.serves_documents(),
        };
        let api = Api::with(parts, extras, options::api(config));
        let api = tokio::spawn(serve(listener, api, stop_api.clone(), options::server(config)));

        let (upkeep, stop_upkeep) = (TaskTracker::new(), CancellationToken::new());
        if role.keeps_house() {
            upkeep.spawn(upkeep::outbox(database.clone(), consumer, config.outbox_keep, stop_upkeep.clone()));
        }
        upkeep.spawn(upkeep::sinks(up.board.clone(), stop_upkeep.clone()));
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
