//! The HTTP client of the demo, besides loading.

use crate::failure::Failure;
use reqwest::{Client as Http, Response, StatusCode, Url, header};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// Longest wait for a response: a rename may change thousands of documents.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A client for one process.
#[derive(Debug)]
pub(super) struct Client {
    http: Http,
    url: Url,
}

/// A document as it was read.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub(super) etag: String,
    pub(super) bytes: bytes::Bytes,
    pub(super) body: Value,
}

impl Client {
    pub(super) fn new(url: Url) -> Result<Self, Failure> {
        let http = Http::builder().no_proxy().timeout(TIMEOUT).build().map_err(Failure::failed)?;
        Ok(Self { http, url })
    }

    fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Returns the metrics as text.
    pub(super) async fn metrics(&self) -> Result<String, Failure> {
        let response = self.http.get(self.at(&["metrics"])).send().await.map_err(Failure::failed)?;
        response.text().await.map_err(Failure::failed)
    }

    /// Returns the document with this id.
    pub(super) async fn read(&self, project: &str, endpoint: &str, id: &str) -> Result<Read, Failure> {
        let url = self.at(&["data", project, endpoint, id]);
        let response = accepted(self.http.get(url).send().await).await?;
        let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default();
        let etag = etag.trim_matches('"').to_owned();
        let bytes = response.bytes().await.map_err(Failure::failed)?;
        let body = serde_json::from_slice(&bytes).map_err(Failure::failed)?;
        Ok(Read { etag, bytes, body })
    }

    /// Returns the ids of the documents that match a query, at most two.
    pub(super) async fn find(
        &self,
        project: &str,
        endpoint: &str,
        query: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, Failure> {
        let mut url = self.at(&["data", project, endpoint]);
        url.query_pairs_mut().extend_pairs(query).append_pair("limit", "2");
        let response = accepted(self.http.get(url).send().await).await?;
        let bytes = response.bytes().await.map_err(Failure::failed)?;
        let page: Vec<Value> = serde_json::from_slice(&bytes).map_err(Failure::failed)?;
        Ok(page.iter().filter_map(|body| body.get("id")?.as_str().map(str::to_owned)).collect())
    }

    /// Replaces a document, if it has not changed since it was read.
    pub(super) async fn replace(
        &self,
        project: &str,
        endpoint: &str,
        id: &str,
        read: &Read,
        body: &Value,
    ) -> Result<(), Failure> {
        let request = self.http.put(self.at(&["data", project, endpoint, id]));
        let request = request.header(header::IF_MATCH, format!("\"{}\"", read.etag));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        let response = accepted(request.send().await).await?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(Failure::failed(format!("a PUT was answered with {status}, not with 204"))),
        }
    }
}

async fn accepted(sent: Result<Response, reqwest::Error>) -> Result<Response, Failure> {
    let response = sent.map_err(Failure::failed)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, url) = (response.status(), response.url().to_string());
    let answer = response.text().await.unwrap_or_default();
    Err(Failure::failed(format!("{url} answered {status}: {answer}")))
}
