//! The routes: paths to handlers, with the guard around all of them.

use crate::data::{collection, item};
use crate::guard::guard;
use crate::options::PublicUrl;
use crate::problem::Problem;
use crate::same_site::refuse_other_sites;
use crate::search::search;
use crate::state::{Api, StatusParts};
use crate::status;
use axum::Router;
use axum::extract::FromRef;
use axum::middleware;
use axum::routing::{any, get};
use std::sync::Arc;

/// Returns all routes over `api`. Serve them with [`crate::serve`], so that writes finish before the process ends.
pub fn router(api: Api) -> Router {
    // A trailing slash makes no difference.
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
        .merge(status_routes())
        .fallback(|| std::future::ready(Problem::no_such_endpoint()))
        .method_not_allowed_fallback(|| std::future::ready(Problem::method_not_allowed("GET, HEAD")))
        .layer(middleware::from_fn_with_state(Arc::clone(&api.0), guard))
        .with_state(api.0)
}

/// Returns the routes of a process that serves health and metrics only.
pub(crate) fn status_router(parts: StatusParts, public_url: Option<PublicUrl>) -> Router {
    status_routes::<StatusParts>()
        .fallback(|| std::future::ready(Problem::no_such_endpoint()))
        .layer(middleware::from_fn_with_state(Arc::new(public_url), refuse_other_sites))
        .with_state(parts)
}

fn status_routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    StatusParts: FromRef<S>,
{
    Router::new()
        .route("/health", get(status::live))
        .route("/health/ready", get(status::readiness))
        .route("/metrics", get(status::metrics))
}
