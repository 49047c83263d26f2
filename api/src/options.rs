//! Options of the HTTP surface.

use axum::http::uri::{Authority, Scheme, Uri};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Limits of requests and responses.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Base of links, if clients reach this server by another URL than their `Host` header names.
    pub public_url: Option<PublicUrl>,
    /// Largest request body; a larger one is refused with 413.
    pub body_max_bytes: usize,
    /// Time within which a body must arrive; the client gets 408 after it.
    pub body_timeout: Duration,
    /// Time within which a request must be answered; the client gets 503 after it. A write continues.
    pub request_timeout: Duration,
    /// Concurrent requests for documents; the client gets 503 with `Retry-After` beyond it.
    pub requests_max: usize,
    /// Documents of a page if the client does not set `limit`.
    pub limit_default: u32,
    /// Largest page, in documents.
    pub limit_max: u32,
    /// How long a search waits for the version in `X-Millstream-Min-Version`; the client gets 503 after it.
    pub min_version_wait: Duration,
}

impl Default for ApiOptions {
    /// 4 MiB bodies in 30 s, answers in 60 s, 256 concurrent requests, pages of 25 and at most 500 documents, 10 s for a version.
    fn default() -> Self {
        Self {
            public_url: None,
            body_max_bytes: 4 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
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
    /// Open connections; further ones wait in the kernel's queue.
    pub connections_max: usize,
    /// Time within which the head of a request must arrive, counted from when the connection is ready for it. An idle
    /// keep-alive connection is closed after it.
    pub head_timeout: Duration,
    /// Largest head of a request; a larger one is refused with 431. At least 8 KiB.
    pub head_max_bytes: usize,
    /// How long a shutdown waits for requests in progress.
    pub drain_deadline: Duration,
}

impl Default for ServerOptions {
    /// 1,024 connections, heads of 64 KiB in 60 s, 25 s to drain.
    fn default() -> Self {
        Self {
            connections_max: 1024,
            head_timeout: Duration::from_secs(60),
            head_max_bytes: 64 * 1024,
            drain_deadline: Duration::from_secs(25),
        }
    }
}

/// An absolute URL without a trailing slash, the base of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// The text is not a [`PublicUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a base URL: expected http:// or https://, a host and optionally a path, without query or fragment"
)]
pub struct PublicUrlError {
    text: String,
}

impl PublicUrl {
    /// Returns the URL that a client with this `Host` header reached; `None` if it is not a host.
    pub(crate) fn of_host(host: &str) -> Option<Self> {
        let authority = Authority::from_str(host).ok()?;
        (!authority.host().is_empty() && !host.contains('@')).then(|| Self(format!("http://{authority}")))
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let error = || PublicUrlError { text: text.to_owned() };
        let uri: Uri = text.parse().map_err(|_| error())?;
        let is_web = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
        let has_host = uri.authority().is_some_and(|authority| !authority.host().is_empty());
        let has_more = uri.query().is_some() || text.contains(['#', '@']);
        if !is_web || !has_host || has_more {
            return Err(error());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
        for wrong in
            ["", "localhost:8080", "/data", "ftp://host", "http://", "http://h?x=1", "http://h/#a", "http://u:p@h"]
        {
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
