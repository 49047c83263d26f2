//! The routes, and what they share.

use crate::backend::{DocumentReader, DocumentWriter};
use crate::data::{collection, item};
use crate::edge;
use crate::options::ApiOptions;
use crate::problem::Problem;
use crate::search::{CopyWait, search};
use crate::status::{self, MetricsText, Probe};
use axum::Router;
use axum::extract::FromRef;
use axum::middleware;
use axum::routing::{any, get};
use millstream_schema::plan::Mapping;
use millstream_search::{SearchEngine, SearchModel};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// What an [`Api`] is made of.
pub struct ApiParts {
    /// The compiled schema.
    pub mapping: Arc<Mapping>,
    /// Answers reads.
    pub reader: Arc<dyn DocumentReader>,
    /// Carries out writes.
    pub writer: Arc<dyn DocumentWriter>,
    /// Says whether the process can do its work (`/health/ready`).
    pub probe: Probe,
    /// Renders the metrics (`/metrics`).
    pub metrics: MetricsText,
}

/// What an [`Api`] can have beside its parts.
#[derive(Default)]
pub struct Extras {
    /// Answers searches. Without it `/search` has no addresses.
    pub search: Option<SearchParts>,
    /// Only health and metrics are served: `/data` and `/search` have no addresses.
    pub status_only: bool,
    /// Waits for a version, where a request asks for one (`X-Millstream-Min-Version`).
    pub copies: Option<Arc<dyn CopyWait>>,
}

/// A search over a copy of the documents.
pub struct SearchParts {
    /// The engine.
    pub engine: Arc<dyn SearchEngine>,
    /// The fields of the same schema as [`ApiParts::mapping`].
    pub model: Arc<SearchModel>,
}

/// What a process says of itself, whatever else it serves.
#[derive(Clone)]
pub struct StatusParts {
    /// Says whether the process can do its work (`/health/ready`).
    pub probe: Probe,
    /// Renders the metrics (`/metrics`).
    pub metrics: MetricsText,
}

impl FromRef<Arc<Shared>> for StatusParts {
    fn from_ref(shared: &Arc<Shared>) -> Self {
        shared.status.clone()
    }
}

/// What all routes share. Clones are handles to the same.
#[derive(Clone)]
pub struct Api(pub(crate) Arc<Shared>);

/// What the handlers get.
pub(crate) struct Shared {
    pub(crate) mapping: Arc<Mapping>,
    pub(crate) reader: Arc<dyn DocumentReader>,
    pub(crate) writer: Arc<dyn DocumentWriter>,
    pub(crate) status: StatusParts,
    pub(crate) extras: Extras,
    pub(crate) options: ApiOptions,
    /// Places for requests that are worked on.
    pub(crate) admissions: Arc<Semaphore>,
    /// Writes under way, whether or not their clients wait for them.
    pub(crate) writes: TaskTracker,
}

impl Api {
    /// Puts the parts together.
    pub fn new(parts: ApiParts, options: ApiOptions) -> Self {
        Self::with(parts, Extras::default(), options)
    }

    /// Puts the parts together, with what is there beside them.
    pub fn with(parts: ApiParts, extras: Extras, options: ApiOptions) -> Self {
        let admissions = Arc::new(Semaphore::new(options.requests_max.min(Semaphore::MAX_PERMITS)));
        let ApiParts { mapping, reader, writer, probe, metrics } = parts;
        Self(Arc::new(Shared {
            mapping,
            reader,
            writer,
            status: StatusParts { probe, metrics },
            extras,
            options,
            admissions,
            writes: TaskTracker::new(),
        }))
    }
}

/// All routes over `api`. To have writes finish before the process ends, serve them with [`crate::serve`].
pub fn router(api: Api) -> Router {
    // A slash at the end changes nothing.
    let data = Router::new()
        .route("/data/{project}/{endpoint}", any(collection))
        .route("/data/{project}/{endpoint}/", any(collection))
        .route("/data/{project}/{endpoint}/{id}", any(item))
        .route("/data/{project}/{endpoint}/{id}/", any(item));
    let documents =
        data.route("/search/{project}/{endpoint}", any(search)).route("/search/{project}/{endpoint}/", any(search));
    let served = if api.0.extras.status_only { Router::new() } else { documents };
    Router::new()
        .merge(served)
        .route("/", get(status::root))
        .merge(of_status())
        .fallback(|| std::future::ready(Problem::no_such_endpoint()))
        .method_not_allowed_fallback(|| std::future::ready(Problem::method_not_allowed("GET, HEAD")))
        .layer(middleware::from_fn_with_state(Arc::clone(&api.0), edge::guard))
        .with_state(api.0)
}

/// Health and metrics, of a process that has nothing else.
pub(crate) fn status_router(parts: StatusParts) -> Router {
    of_status::<StatusParts>().fallback(|| std::future::ready(Problem::no_such_endpoint())).with_state(parts)
}

fn of_status<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    StatusParts: FromRef<S>,
{
    Router::new()
        .route("/health", get(status::live))
        .route("/health/ready", get(status::readiness))
        .route("/metrics", get(status::metrics))
}
