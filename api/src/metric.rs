//! Metrics of the HTTP surface, and the labels that requests are counted under.

use axum::http::{Method, StatusCode};

/// Requests answered.
pub const REQUESTS: &str = "millstream_http_requests_total";
/// Seconds from the head of a request to the head of its response.
pub const SECONDS: &str = "millstream_http_request_seconds";
/// Requests in progress.
pub const IN_FLIGHT: &str = "millstream_http_requests_in_flight";
/// Open connections.
pub const CONNECTIONS: &str = "millstream_http_connections";
/// Requests refused at the limit of concurrent requests.
pub const TURNED_AWAY: &str = "millstream_http_requests_turned_away_total";

/// Describes them to the installed recorder.
pub fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(REQUESTS, Unit::Count, "Requests answered, by route, method and class of status");
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "Time from the head of a request to that of its answer, by route and method"
    );
    describe_gauge!(IN_FLIGHT, Unit::Count, "Requests being answered");
    describe_gauge!(CONNECTIONS, Unit::Count, "Open connections");
    describe_counter!(TURNED_AWAY, Unit::Count, "Requests for data refused because too many were being worked on");
}

/// Returns a label of bounded cardinality: clients can send any method.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Returns the class of a status.
pub(crate) fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}
