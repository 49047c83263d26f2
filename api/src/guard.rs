//! The middleware around all routes: a span, metrics, the check of host and origin, a timeout, and a handler's panic turned
//! into a response.

use crate::metrics as names;
use crate::problem::Problem;
use crate::same_site::check_site;
use crate::state::ApiState;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;
use tracing::Instrument;
use tracing::field::Empty;

/// Runs one request, in a span of its own: its problems are logged with method, route and ids.
pub(crate) async fn guard(State(api): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    let observed = ObservedRequest::begin(&request);
    // No header, query or body: they may hold personal data.
    let span = tracing::info_span!(
        "request",
        method = observed.method,
        route = observed.route,
        document_id = Empty,
        status = Empty,
        correlation_id = Empty
    );
    let response = run(&api, request, next).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    observed.end(response)
}

async fn run(api: &ApiState, request: Request, next: Next) -> Response {
    let public_url = api.options.public_url.as_ref();
    if let Err(problem) = check_site(public_url, request.method(), request.uri(), request.headers()) {
        return problem.into_response();
    }
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match timeout(api.options.request_timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => Problem::panicked(&*panic).into_response(),
        Err(_) => {
            let detail = "The request timed out. A write may still be committed: read the item.";
            Problem::unavailable(detail).because("the request timed out").into_response()
        }
    }
}

/// A request in progress. Dropping it before `end` means that the client disconnected.
struct ObservedRequest {
    route: &'static str,
    method: &'static str,
    began: Instant,
    status: Option<StatusCode>,
}

impl ObservedRequest {
    fn begin(request: &Request) -> Self {
        metrics::gauge!(names::IN_FLIGHT).increment(1.0);
        Self {
            route: route_label(request.extensions().get::<MatchedPath>()),
            method: names::method_label(request.method()),
            began: Instant::now(),
            status: None,
        }
    }

    fn end(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        response
    }
}

impl Drop for ObservedRequest {
    fn drop(&mut self) {
        let status = self.status.map_or("gone", names::status_label);
        metrics::gauge!(names::IN_FLIGHT).decrement(1.0);
        metrics::counter!(names::REQUESTS, "route" => self.route, "method" => self.method, "status" => status)
            .increment(1);
        let seconds = self.began.elapsed().as_secs_f64();
        metrics::histogram!(names::SECONDS, "route" => self.route, "method" => self.method).record(seconds);
    }
}

/// Returns the pattern of a route as a static label.
fn route_label(matched: Option<&MatchedPath>) -> &'static str {
    match matched.map(MatchedPath::as_str) {
        Some("/data/{project}/{endpoint}" | "/data/{project}/{endpoint}/") => "/data/{project}/{endpoint}",
        Some("/data/{project}/{endpoint}/{id}" | "/data/{project}/{endpoint}/{id}/") => {
            "/data/{project}/{endpoint}/{id}"
        }
        Some("/search/{project}/{endpoint}" | "/search/{project}/{endpoint}/") => "/search/{project}/{endpoint}",
        Some("/") => "/",
        Some("/health") => "/health",
        Some("/health/ready") => "/health/ready",
        Some("/metrics") => "/metrics",
        _ => "none",
    }
}
