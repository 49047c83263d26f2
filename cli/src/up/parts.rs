//! How each part is made: what the parts of a process have in common, and one function for each of them.

use super::{Up, options, queue::Queue, role::Role, search::Searching, source};
use crate::{config::Config, failure::Failure, sinks::Sinks};
use millstream_api::{Api, ApiParts, Extras, SearchParts, StoreReader};
use millstream_projector::{
    Deps, Projector, ProjectorHandle, ProjectorOptions, SourceFactory, SystemClock,
    delivery::DeliveryWorkerOptions,
    replay::{Aim, FileLedger, Replay, ReplayDeps, ReplayOptions},
    sink_manager::{SinkManager, SinkManagerDeps},
};
use millstream_schema::plan::Mapping;
use millstream_store::{connect::Database, load::Caches};
use millstream_writer::Writer;
use std::sync::Arc;

/// Where the place of a replay into the cache is kept, in the data folder.
const REPLAY_FILE: &str = "replay.json";

/// What the parts share.
pub(super) struct Parts<'a> {
    up: &'a Up<'a>,
    database: Database,
    queue: &'a Queue,
    mapping: Arc<Mapping>,
    caches: Arc<Caches>,
    pub(super) sinks: Arc<Sinks>,
    /// Where changes come from, whoever follows them.
    pub(super) source: Arc<dyn SourceFactory>,
}

impl<'a> Parts<'a> {
    /// Fails when the configured source cannot be one, or the database does not answer.
    pub(super) async fn new(up: &'a Up<'a>, database: Database, queue: &'a Queue) -> Result<Self, Failure> {
        let sinks = Arc::new(Sinks::of(&database, up.config, &up.compiled).await?);
        let mapping = Arc::clone(&up.compiled.mapping);
        let source = source::factory(up.config, &database)?;
        Ok(Self { up, database, queue, mapping, caches: Arc::new(Caches::default()), sinks, source })
    }

    /// The part of the projector that this role runs, if any.
    pub(super) fn projector(&self) -> Option<ProjectorHandle> {
        let part = self.up.role.part()?;
        Some(Projector::start(Deps {
            database: self.database.clone(),
            mapping: Arc::clone(&self.mapping),
            caches: Arc::clone(&self.caches),
            queue: self.queue.work(),
            source: Arc::clone(&self.source),
            clock: Arc::new(SystemClock),
            options: ProjectorOptions { part, ..options::projector(self.up.config) },
        }))
    }

    /// The lanes that this role delivers from.
    pub(super) async fn fleet(&self) -> Result<SinkManager, Failure> {
        let fleet = SinkManager::start(SinkManagerDeps {
            lanes: self.queue.lanes(),
            sinks: Arc::<Sinks>::clone(&self.sinks),
            database: self.database.clone(),
            clock: Arc::new(SystemClock),
            delivery: DeliveryWorkerOptions::default(),
            replay: ReplayOptions::default(),
            serves: self.up.role.lanes(),
        });
        fleet.await.map_err(Failure::failed)
    }

    /// Replays into the cache.
    pub(super) async fn replay(&self) -> Result<Replay, Failure> {
        cache_replay(self.up.config, self.queue, &self.database, ReplayOptions::default()).await
    }

    /// What answers over HTTP.
    pub(super) async fn api(self) -> Result<Api, Failure> {
        let Self { up, database, mapping, caches, sinks, .. } = self;
        let writer = {
            let (database, mapping, options) = (database.clone(), Arc::clone(&mapping), options::writer(up.config));
            let built = tokio::task::spawn_blocking(move || Writer::new(database, mapping, options));
            built.await.map_err(Failure::failed)?.map_err(Failure::failed)?
        };
        let recorder = up.recorder.clone();
        let parts = ApiParts {
            mapping: Arc::clone(&mapping),
            reader: Arc::new(StoreReader::new(database, mapping, caches)),
            writer: Arc::new(writer),
            probe: up.board.probe(),
            metrics: Arc::new(move || recorder.render()),
        };
        let (engine, model) = (up.config.sinks.engine.clone(), Arc::clone(&sinks.model));
        let searching = Arc::new(Searching::new(up.board.clone(), engine, up.role == Role::All));
        let extras = Extras {
            search: Some(SearchParts { engine: Arc::<Searching>::clone(&searching), model }),
            copies: Some(searching),
            status_only: !up.role.serves_documents(),
        };
        Ok(Api::with(parts, extras, options::api(up.config)))
    }
}

/// The replays into the cache of a data folder. One that was interrupted goes on at once.
pub(crate) async fn cache_replay(
    config: &Config,
    queue: &Queue,
    database: &Database,
    options: ReplayOptions,
) -> Result<Replay, Failure> {
    let replay = Replay::open(ReplayDeps {
        aim: Aim::Cache,
        queue: queue.work(),
        ledger: Arc::new(FileLedger::new(config.data_dir.join(REPLAY_FILE))),
        database: database.clone(),
        clock: Arc::new(SystemClock),
        options,
    });
    replay.await.map_err(Failure::failed)
}
