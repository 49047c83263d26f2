//! The parts of a sink manager and its errors.

use crate::delivery::DeliveryWorkerOptions;
use crate::error::ProjectorError;
use crate::replay::{ReplayError, ReplayOptions};
use futures::future::BoxFuture;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::{Lanes, QueueError};
use millstream_pipeline::sink::{Sink, SinkError};
use millstream_store::connect::Database;
use std::fmt;
use std::sync::Arc;

/// Opens the sink that the name of a lane stands for.
pub trait SinkFactory: Send + Sync + 'static {
    /// Opens the sink of this lane. It has to be configured, not reachable.
    ///
    /// # Errors
    /// When no sink is configured under this name, or it cannot be opened.
    fn open<'a>(&'a self, lane: &'a str) -> BoxFuture<'a, Result<Arc<dyn Sink>, SinkError>>;
}

/// The parts that a sink manager works with.
#[derive(Clone)]
pub struct SinkManagerDeps {
    /// The lanes and their notes.
    pub lanes: Arc<dyn Lanes>,
    /// The factory of sinks.
    pub sinks: Arc<dyn SinkFactory>,
    /// The database with the cached bodies.
    pub database: Database,
    /// The memory that bodies in flight to all sinks take.
    pub memory: MemoryBudget,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Settings of delivery workers.
    pub delivery: DeliveryWorkerOptions,
    /// Settings of replays.
    pub replay: ReplayOptions,
    /// Whether this process delivers from the lane of this name. Other processes may serve the others.
    pub serves: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl fmt::Debug for SinkManagerDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkManagerDeps").finish_non_exhaustive()
    }
}

/// A failure of an operation on a sink.
#[derive(Debug, thiserror::Error)]
pub enum SinkManagerError {
    /// The sink is not among those that this process serves.
    #[error("no sink {name:?} is delivered to; there {}", list(names))]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names of the sinks that are served.
        names: Vec<String>,
    },
    /// The sink was added before.
    #[error("the sink {0:?} is delivered to already")]
    Exists(String),
    /// The sink cannot be opened.
    #[error("the sink {name:?} cannot be opened")]
    Sink {
        /// Its name.
        name: String,
        /// The sink's error.
        source: SinkError,
    },
    /// The durable queue failed.
    #[error("the lane of a sink could not be changed")]
    Queue(#[from] QueueError),
    /// A replay into the sink's lane failed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The database or the queue failed.
    #[error(transparent)]
    Projector(#[from] ProjectorError),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "are none".to_owned() } else { format!("are: {}", names.join(", ")) }
}
