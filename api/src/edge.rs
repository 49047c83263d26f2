//! What every request goes through, whatever it asks for: counted and timed, admitted or turned away, bounded in time,
//! and a panic caught.

use crate::metric;
use crate::problem::Problem;
use crate::routes::Shared;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Routes that documents are read, written and searched under; only these are limited in number, so that an overloaded
/// server still tells its health.
const LIMITED: [&str; 2] = ["/data/", "/search/"];

/// A place among the requests that are worked on at a time. It is in the request's extensions; a write keeps it until
/// it has ended, also when its client is long gone.
pub(crate) struct Admission {
    _permit: OwnedSemaphorePermit,
}

/// The middleware around all routes.
pub(crate) async fn guard(State(api): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let observed = Observed::begin(&request);
    if LIMITED.iter().any(|root| request.uri().path().starts_with(root)) {
        match Arc::clone(&api.admissions).try_acquire_owned() {
            Ok(permit) => drop(request.extensions_mut().insert(Arc::new(Admission { _permit: permit }))),
            Err(_) => {
                metrics::counter!(metric::TURNED_AWAY).increment(1);
                let busy = Problem::unavailable("The server works on as many requests as it can. Try again.");
                return observed.end(busy.into_response());
            }
        }
    }
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match timeout(api.options.request_timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => Problem::panicked(&*panic).into_response(),
        Err(_) => {
            let detail =
                "The request could not be answered in time. If it was a write, it may still be made: read the item.";
            Problem::unavailable(detail).because("the request timed out").into_response()
        }
    };
    observed.end(response)
}

/// A request on its way. If it is dropped before its end, the client hung up.
struct Observed {
    route: &'static str,
    method: &'static str,
    began: Instant,
    status: Option<StatusCode>,
}

impl Observed {
    fn begin(request: &Request) -> Self {
        metrics::gauge!(metric::IN_FLIGHT).increment(1.0);
        Self {
            route: route_label(request.extensions().get::<MatchedPath>()),
            method: metric::method_label(request.method()),
            began: Instant::now(),
            status: None,
        }
    }

    fn end(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        response
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let status = self.status.map_or("gone", metric::status_label);
        metrics::gauge!(metric::IN_FLIGHT).decrement(1.0);
        metrics::counter!(metric::REQUESTS, "route" => self.route, "method" => self.method, "status" => status)
            .increment(1);
        let seconds = self.began.elapsed().as_secs_f64();
        metrics::histogram!(metric::SECONDS, "route" => self.route, "method" => self.method).record(seconds);
    }
}

/// The pattern of a route, as a label that costs no allocation.
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
