//! Options of the HTTP API and its server.

use crate::origin::Origin;
use axum::http::uri::{Authority, Scheme, Uri};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Limits of requests and responses.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Base URL of links. Set it if clients reach this server by another URL than their `Host` header names.
    pub public_url: Option<PublicUrl>,
    /// Maximum size of a request body; a larger one is refused with 413.
    pub body_max_bytes: usize,
    /// Maximum size of all request bodies above [`SMALL_BODY_MAX_BYTES`](Self::SMALL_BODY_MAX_BYTES) that are arriving or
    /// being written, at least that of one body. A further one waits for `body_timeout`; then the client gets 503.
    pub bodies_max_bytes: usize,
    /// Maximum time by which an arriving body may fall behind `body_rate_min`; after it the client gets 408.
    pub body_timeout: Duration,
    /// Bytes per second at which a body has to arrive at least.
    pub body_rate_min: u32,
    /// Maximum duration of a request; after it the client gets 503, and a write continues.
    pub request_timeout: Duration,
    /// Maximum number of concurrent requests for documents; a client beyond it gets 503 with `Retry-After`.
    pub requests_max: usize,
    /// Documents per page if the client does not set `limit`.
    pub limit_default: u32,
    /// Maximum number of documents per page.
    pub limit_max: u32,
    /// Maximum wait of a search for the version in `X-Millstream-Min-Version`; after it the client gets 503.
    pub min_version_wait: Duration,
}

impl ApiOptions {
    /// Bodies up to this size are bounded by the number of connections alone, so that large ones do not delay them.
    pub const SMALL_BODY_MAX_BYTES: usize = 64 * 1024;
}

impl Default for ApiOptions {
    /// Bodies of 4 MiB, 64 MiB of them at a time, at 64 KiB per second or at most 10 s behind that, responses in 60 s, 256 concurrent requests, pages of 25 documents (at most 500), 10 s
    /// for a version.
    fn default() -> Self {
        Self {
            public_url: None,
            body_max_bytes: 4 * 1024 * 1024,
            bodies_max_bytes: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(10),
            body_rate_min: 64 * 1024,
            request_timeout: Duration::from_secs(60),
            requests_max: 256,
            limit_default: 25,
            limit_max: 500,
            min_version_wait: Duration::from_secs(10),
        }
    }
}

/// Limits of connections.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Maximum number of connections with a request for documents in progress; a further request gets 503. A few more
    /// sockets stay open for health, metrics and idle clients: a new client closes the one that has been idle longest.
    pub connections_max: usize,
    /// Maximum time for the arrival of a request's head, counted from when the connection is ready for it. It also
    /// closes idle keep-alive connections.
    pub head_timeout: Duration,
    /// Maximum size of a request's head; a larger one is refused with 431. At least 8 KiB.
    pub head_max_bytes: usize,
    /// Maximum time by which a client may fall behind `write_rate_min` in reading a response; after it the connection is
    /// closed.
    pub write_timeout: Duration,
    /// Bytes per second at which a client has to read a response at least.
    pub write_rate_min: u32,
    /// Maximum wait of a shutdown for requests in progress.
    pub drain_deadline: Duration,
}

impl Default for ServerOptions {
    /// 1,024 connections, heads of 64 KiB in 60 s, responses at 64 KiB per second or at most 10 s behind that, 25 s to
    /// drain.
    fn default() -> Self {
        Self {
            connections_max: 1024,
            head_timeout: Duration::from_secs(60),
            head_max_bytes: 64 * 1024,
            write_timeout: Duration::from_secs(10),
            write_rate_min: 64 * 1024,
            drain_deadline: Duration::from_secs(25),
        }
    }
}

/// An absolute URL without a trailing slash, the base of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    origin: Origin,
}

/// The error for a text that is not a [`PublicUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a base URL: expected http:// or https://, a host and optionally a path, \
     without user, query or fragment"
)]
pub struct PublicUrlError {
    text: String,
}

impl PublicUrl {
    /// Returns the URL that a client with this `Host` header used; `None` if the header is not a host.
    pub(crate) fn of_host(host: &str) -> Option<Self> {
        let authority = Authority::from_str(host).ok()?;
        Some(Self { text: format!("http://{authority}"), origin: Origin::new(false, &authority)? })
    }

    /// Returns scheme, host and port.
    pub(crate) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the URL as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let error = || PublicUrlError { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| error())?;
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let is_web = is_https || uri.scheme() == Some(&Scheme::HTTP);
        let has_more = uri.query().is_some() || text.contains(['#', '@']);
        let origin = uri.authority().and_then(|authority| Origin::new(is_https, authority));
        match origin {
            Some(origin) if is_web && !has_more => Ok(Self { text: text.trim_end_matches('/').to_owned(), origin }),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_scheme_host_and_path() {
        for (text, expected) in [
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://edfi.example.org/api/", "https://edfi.example.org/api"),
            ("https://[::1]:8080", "https://[::1]:8080"),
        ] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().as_str(), expected);
        }
        for wrong in [
            "",
            "localhost:8080",
            "/data",
            "ftp://host",
            "http://",
            "http://h?x=1",
            "http://h/#a",
            "http://u:p@h",
            "http://h:99999",
        ] {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_header_is_taken_only_if_it_is_a_host() {
        assert_eq!(PublicUrl::of_host("localhost:8080").unwrap().as_str(), "http://localhost:8080");
        for wrong in ["", "a b", "host/path", "user@host", "h\u{e9}"] {
            assert_eq!(PublicUrl::of_host(wrong), None, "{wrong}");
        }
    }
}
