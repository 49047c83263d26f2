//! The state that handlers share, and the parts that a process builds it from.

use crate::backend::{DocumentReader, DocumentWriter};
use crate::copy_wait::CopyWait;
use crate::metrics as names;
use crate::options::ApiOptions;
use crate::problem::Problem;
use axum::extract::FromRef;
use futures::future::BoxFuture;
use millstream_pipeline::memory::MemoryBudget;
use millstream_schema::plan::Mapping;
use millstream_search::{SearchEngine, SearchModel};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

/// Runs the readiness checks: the database is reachable, its schema is the loaded one, the source is alive.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Vec<Check>> + Send + Sync>;

/// Renders the metrics in the Prometheus text format.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// The result of one readiness check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Name of the check, such as `database`.
    pub name: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// The fault and the remedy, for the operator. Every client of the API can read it, so it contains no secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The parts of an [`Api`].
pub struct ApiParts {
    /// The compiled schema.
    pub mapping: Arc<Mapping>,
    /// Reads documents.
    pub reader: Arc<dyn DocumentReader>,
    /// Writes documents.
    pub writer: Arc<dyn DocumentWriter>,
    /// Readiness checks (`/health/ready`).
    pub probe: Probe,
    /// Renders the metrics (`/metrics`).
    pub metrics: MetricsText,
}

/// Optional parts of an [`Api`].
#[derive(Default)]
pub struct Extras {
    /// The search engine; without it `/search` returns 404.
    pub search: Option<SearchParts>,
    /// Whether to serve health and metrics only, without the routes `/data` and `/search`.
    pub status_only: bool,
    /// Waits for the version that a request names in `X-Millstream-Min-Version`.
    pub copies: Option<Arc<dyn CopyWait>>,
}

/// The search engine and its fields.
pub struct SearchParts {
    /// The engine.
    pub engine: Arc<dyn SearchEngine>,
    /// The fields, of the same schema as [`ApiParts::mapping`].
    pub model: Arc<SearchModel>,
}

/// Health and metrics of the process.
#[derive(Clone)]
pub struct StatusParts {
    /// Readiness checks (`/health/ready`).
    pub probe: Probe,
    /// Renders the metrics (`/metrics`).
    pub metrics: MetricsText,
}

impl FromRef<Arc<ApiState>> for StatusParts {
    fn from_ref(shared: &Arc<ApiState>) -> Self {
        shared.status.clone()
    }
}

/// The HTTP API. Clones share their state.
#[derive(Clone)]
pub struct Api(pub(crate) Arc<ApiState>);

/// The state of all handlers.
pub(crate) struct ApiState {
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) reader: Arc<dyn DocumentReader>,
    pub(crate) writer: Arc<dyn DocumentWriter>,
    pub(crate) status: StatusParts,
    pub(crate) extras: Extras,
    pub(crate) options: ApiOptions,
    /// Permits for requests in progress.
    pub(crate) admissions: Arc<Semaphore>,
    /// The memory of all large bodies.
    pub(crate) body_memory: MemoryBudget,
    /// Writes in progress, including those whose clients have disconnected.
    pub(crate) writes: TaskTracker,
}

impl Api {
    /// Creates the API from its parts.
    pub fn new(parts: ApiParts, options: ApiOptions) -> Self {
        Self::with(parts, Extras::default(), options)
    }

    /// Creates the API from its parts and optional parts.
    pub fn with(parts: ApiParts, extras: Extras, options: ApiOptions) -> Self {
        let admissions = Arc::new(Semaphore::new(options.requests_max.min(Semaphore::MAX_PERMITS)));
        let body_memory = body_memory(&options);
        let ApiParts { mapping, reader, writer, probe, metrics } = parts;
        Self(Arc::new(ApiState {
            mapping,
            reader,
            writer,
            status: StatusParts { probe, metrics },
            extras,
            options,
            admissions,
            body_memory,
            writes: TaskTracker::new(),
        }))
    }
}

impl ApiState {
    /// Admits a request to the backend, or refuses it at the limit. A request with a body asks when the body has arrived, so
    /// that a slow sender takes no permit from others.
    pub(crate) fn admit(&self) -> Result<Admission, Problem> {
        match Arc::clone(&self.admissions).try_acquire_owned() {
            Ok(permit) => Ok(Admission { _permit: permit }),
            Err(_) => {
                metrics::counter!(names::TURNED_AWAY).increment(1);
                Err(Problem::unavailable("The server is at its limit of concurrent requests. Try again."))
            }
        }
    }
}

/// Returns the memory of all large bodies: enough for the largest one, in whole KiB.
fn body_memory(options: &ApiOptions) -> MemoryBudget {
    let bytes = options.bodies_max_bytes.max(options.body_max_bytes);
    MemoryBudget::new(bytes.div_ceil(1024).saturating_mul(1024))
}

/// A permit for one request in progress. A write keeps it until the write has ended, even if the client disconnects.
pub(crate) struct Admission {
    _permit: OwnedSemaphorePermit,
}
