//! Construction of the components of a process.

use super::{context::StartContext, options, queue::Queue, search::SinkSearch, source};
use crate::{
    config::Config,
    failure::Failure,
    process::{health, pools::Pools, role::Role},
    sinks::Sinks,
};
use millstream_api::{Api, ApiParts, Extras, SearchParts, StoreReader};
use millstream_pipeline::memory::MemoryBudget;
use millstream_projector::{
    Deps, Projector, ProjectorHandle, ProjectorOptions, SourceFactory, SystemClock,
    delivery::DeliveryWorkerOptions,
    replay::{Aim, FileLedger, Replay, ReplayDeps, ReplayOptions},
    sink_manager::{SinkManager, SinkManagerDeps},
};
use millstream_schema::plan::Mapping;
use millstream_store::{connect::Database, load::Caches};
use millstream_writer::{BatchOptions, Lanes, Writer};
use std::sync::Arc;

/// The file in the data folder that keeps the position of a replay into the cache.
const REPLAY_FILE: &str = "replay.json";

/// The values that several components share, with one constructor per component.
pub(super) struct Components<'a> {
    context: &'a StartContext<'a>,
    pools: Pools,
    queue: &'a Queue,
    mapping: Arc<Mapping>,
    pub(super) caches: Arc<Caches>,
    pub(super) memory: MemoryBudget,
    pub(super) sinks: Arc<Sinks>,
    /// The source of changes, which this or another process follows.
    pub(super) source: Arc<dyn SourceFactory>,
}

impl<'a> Components<'a> {
    /// Fails when the source is configured wrongly, or the database does not answer.
    pub(super) async fn new(context: &'a StartContext<'a>, pools: Pools, queue: &'a Queue) -> Result<Self, Failure> {
        let sinks = Arc::new(Sinks::of(&pools.background, context.config, &context.compiled).await?);
        let mapping = Arc::clone(&context.compiled.mapping);
        let source = source::factory(context.config, &pools.background)?;
        let memory = MemoryBudget::new(context.config.memory_bytes);
        Ok(Self { context, pools, queue, mapping, caches: Arc::new(Caches::default()), memory, sinks, source })
    }

    /// Starts the part of the projector that the role runs.
    pub(super) fn projector(&self) -> Option<ProjectorHandle> {
        let part = self.context.role.part()?;
        Some(Projector::start(Deps {
            database: self.pools.background.clone(),
            mapping: Arc::clone(&self.mapping),
            caches: Arc::clone(&self.caches),
            memory: self.memory.clone(),
            queue: self.queue.work(),
            source: Arc::clone(&self.source),
            clock: Arc::new(SystemClock),
            options: ProjectorOptions { part, ..options::projector(self.context.config) },
        }))
    }

    /// Starts the sink manager for the lanes that the role delivers from.
    pub(super) async fn sink_manager(&self) -> Result<SinkManager, Failure> {
        let manager = SinkManager::start(SinkManagerDeps {
            lanes: self.queue.lanes(),
            sinks: Arc::<Sinks>::clone(&self.sinks),
            database: self.pools.background.clone(),
            memory: self.memory.half(),
            clock: Arc::new(SystemClock),
            delivery: DeliveryWorkerOptions::default(),
            replay: ReplayOptions::default(),
            serves: self.context.role.lanes(),
        });
        manager.await.map_err(Failure::failed)
    }

    /// Opens the replays into the cache.
    pub(super) async fn replay(&self) -> Result<Replay, Failure> {
        cache_replay(self.context.config, self.queue, &self.pools.background, ReplayOptions::default()).await
    }

    /// Builds the HTTP API, and the lanes of its writer.
    pub(super) async fn api(self) -> Result<(Api, Option<Lanes>), Failure> {
        let Self { context, pools, mapping, caches, memory, sinks, .. } = self;
        let writer = {
            let (database, mapping, options) = (pools.writes, Arc::clone(&mapping), options::writer(context.config));
            let built = tokio::task::spawn_blocking(move || Writer::new(database, mapping, options));
            built.await.map_err(Failure::failed)?.map_err(Failure::failed)?
        };
        let (writer, lanes) = match context.config.batching.zip(pools.lanes) {
            Some((batching, sessions)) => {
                let lanes = sessions.status().max_size;
                let (writer, lanes) = writer.batching(sessions, BatchOptions { lanes, ..batching });
                (writer, Some(lanes))
            }
            None => (writer, None),
        };
        let recorder = context.recorder.clone();
        let parts = ApiParts {
            mapping: Arc::clone(&mapping),
            reader: Arc::new(StoreReader::new(pools.reads, mapping, caches, memory)),
            writer: Arc::new(writer),
            probe: health::probe(&context.state),
            metrics: Arc::new(move || recorder.render()),
        };
        let (engine, model) = (context.config.sinks.engine, Arc::clone(&sinks.model));
        let search = Arc::new(SinkSearch::new(context.state.clone(), engine, context.role == Role::All));
        let extras = Extras {
            search: Some(SearchParts { engine: Arc::<SinkSearch>::clone(&search), model }),
            copies: Some(search),
            status_only: !context.role.serves_documents(),
        };
        Ok((Api::with(parts, extras, options::api(context.config)), lanes))
    }
}

/// Opens the replays into the cache of a data folder. An interrupted replay resumes at once.
async fn cache_replay(
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
