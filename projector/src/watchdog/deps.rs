//! The parts that a watchdog works with.

use super::log::IncidentLog;
use super::options::WatchdogOptions;
use super::repair::RepairDocuments;
use crate::intake::source::SourceFactory;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::sink::Sink;
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use std::sync::Arc;

/// A sink that this process delivers to.
#[derive(Clone)]
pub struct WatchedSink {
    /// Its lane.
    pub lane: String,
    /// The lane's queue.
    pub queue: Arc<dyn WorkQueue>,
    /// The sink.
    pub sink: Arc<dyn Sink>,
}

/// The parts that a watchdog works with.
#[derive(Clone)]
pub struct WatchdogDeps {
    /// The database; one connection at a time.
    pub database: Database,
    /// The memory that documents are read within.
    pub memory: MemoryBudget,
    /// The compiled mapping.
    pub mapping: Arc<Mapping>,
    /// The cache queue.
    pub queue: Arc<dyn WorkQueue>,
    /// The source of changes.
    pub source: Arc<dyn SourceFactory>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The record of incidents.
    pub log: Arc<IncidentLog>,
    /// Repairs.
    pub repairer: Arc<dyn RepairDocuments>,
    /// Settings.
    pub options: WatchdogOptions,
}
