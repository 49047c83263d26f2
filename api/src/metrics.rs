//! Metrics of the HTTP surface, and the labels that requests are counted under.

use axum::http::{Method, StatusCode};

millstream_pipeline::metric_table! {
    REQUESTS: &str = "millstream_http_requests_total", Counter, Count,
        "Requests answered, by route, method and class of status";
    SECONDS: &str = "millstream_http_request_seconds", Histogram, Seconds,
        "Time from the head of a request to the head of its response, by route and method";
    IN_FLIGHT: &str = "millstream_http_requests_in_flight", Gauge, Count, "Requests in progress";
    CONNECTIONS: &str = "millstream_http_connections", Gauge, Count, "Open connections";
    TURNED_AWAY: &str = "millstream_http_requests_turned_away_total", Counter, Count,
        "Requests for documents refused at the limit of concurrent requests, connections or bodies";
    CLOSED_FOR_ROOM: &str = "millstream_http_connections_closed_for_room_total", Counter, Count,
        "Idle connections closed because another client needed a socket";
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
