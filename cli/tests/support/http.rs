//! HTTP client of the API for the end-to-end tests.

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, header};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// A response: status, the headers that tests read, and the body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Version in `ETag`.
    pub(crate) etag: Option<i64>,
    /// Id at the end of `Location`.
    pub(crate) id: Option<Uuid>,
    /// `Next-Page-Token`.
    pub(crate) next_page: Option<String>,
    /// `Total-Count`.
    pub(crate) total: Option<u64>,
    pub(crate) body: Bytes,
}

impl Reply {
    /// Parses the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("the body is not JSON ({error}): {self:?}"))
    }

    /// Returns whether the status is 2xx.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Client for one address with keep-alive connections, which clones share.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    base: String,
    client: reqwest::Client,
}

impl Http {
    /// Creates a client for a base URL such as `http://127.0.0.1:8080`.
    pub(crate) fn new(base: impl Into<String>) -> Self {
        let client = millstream_testkit::http_client().tcp_nodelay(true).build().expect("an HTTP client");
        Self { base: base.into(), client }
    }

    /// Creates a client for the same address with a limit per request. With `fresh` every request opens a connection.
    pub(crate) fn limited(&self, timeout: Duration, fresh: bool) -> Self {
        let builder = millstream_testkit::http_client().tcp_nodelay(true).timeout(timeout);
        let builder = if fresh { builder.pool_max_idle_per_host(0) } else { builder };
        Self { base: self.base.clone(), client: builder.build().expect("an HTTP client") }
    }

    /// Returns host and port, such as `127.0.0.1:8080`.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}/data/{path}", self.base))
    }

    /// `GET /data/{path}`.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        expect_response(self.try_get(path).await)
    }

    /// The same; without a response, returns the error.
    pub(crate) async fn try_get(&self, path: &str) -> Result<Reply, reqwest::Error> {
        reply(self.request(Method::GET, path)).await
    }

    /// `GET` with `If-None-Match`.
    pub(crate) async fn get_if_none_match(&self, path: &str, etag: i64) -> Reply {
        expect_response(
            reply(self.request(Method::GET, path).header(header::IF_NONE_MATCH, format!("\"{etag}\""))).await,
        )
    }

    /// `GET /search/{path}`, optionally with the minimum version that the result must contain.
    pub(crate) async fn search(&self, path: &str, min_version: Option<i64>) -> Reply {
        let request = self.client.get(format!("{}/search/{path}", self.base));
        let request = match min_version {
            Some(version) => request.header("X-Millstream-Min-Version", version),
            None => request,
        };
        expect_response(reply(request).await)
    }

    /// `POST /data/{path}`.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        expect_response(self.try_post(path, body).await)
    }

    /// The same; without a response, returns the error.
    pub(crate) async fn try_post(&self, path: &str, body: impl Into<Bytes>) -> Result<Reply, reqwest::Error> {
        reply(with_json(self.request(Method::POST, path), body)).await
    }

    /// `PUT /data/{path}`.
    pub(crate) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        expect_response(self.try_put(path, body).await)
    }

    /// The same; without a response, returns the error.
    pub(crate) async fn try_put(&self, path: &str, body: impl Into<Bytes>) -> Result<Reply, reqwest::Error> {
        reply(with_json(self.request(Method::PUT, path), body)).await
    }

    /// `DELETE /data/{path}`; without a response, returns the error.
    pub(crate) async fn try_delete(&self, path: &str) -> Result<Reply, reqwest::Error> {
        reply(self.request(Method::DELETE, path)).await
    }

    /// `GET /metrics`.
    pub(crate) async fn metrics(&self) -> String {
        let response = self.client.get(format!("{}/metrics", self.base)).send().await.expect("a response");
        response.text().await.expect("metrics are text")
    }

    /// Returns whether `/health` reports success.
    pub(crate) async fn is_live(&self) -> bool {
        let response = self.client.get(format!("{}/health", self.base)).send().await;
        response.is_ok_and(|response| response.status().is_success())
    }

    /// Returns whether `/health/ready` reports success.
    pub(crate) async fn is_ready(&self) -> bool {
        let response = self.client.get(format!("{}/health/ready", self.base)).send().await;
        response.is_ok_and(|response| response.status().is_success())
    }
}

fn with_json(request: RequestBuilder, body: impl Into<Bytes>) -> RequestBuilder {
    request.header(header::CONTENT_TYPE, "application/json").body(body.into())
}

fn expect_response(reply: Result<Reply, reqwest::Error>) -> Reply {
    reply.unwrap_or_else(|error| panic!("no response: {error:?}"))
}

async fn reply(request: RequestBuilder) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let etag = text("etag").and_then(|tag| tag.trim_matches('"').parse().ok());
    let id = text("location").and_then(|at| at.rsplit('/').next()?.parse().ok());
    let (next_page, total) = (text("next-page-token"), text("total-count").and_then(|total| total.parse().ok()));
    let status = response.status().as_u16();
    Ok(Reply { status, etag, id, next_page, total, body: response.bytes().await? })
}
