//! A scan of a generation: index by index, in the order of ids. Each index is read as of the moment when its turn
//! comes.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use serde::Deserialize;
use serde_json::{Value, json};

use millstream_pipeline::sink::{Content, Held, Scan, SinkError};

use super::aliases::Aliases;
use super::cluster::Cluster;
use super::fetch::StoredHits;
use super::generation::refresh;
use super::request::Request;

/// Time that the node keeps a point in time between two pages.
const KEEP_ALIVE: &str = "5m";
/// Documents of the first page. The next pages adapt to the size of the documents.
const PAGE_FIRST: usize = 100;
const PAGE_MAX: usize = 2_000;
const PAGE_BYTES: usize = 2 << 20;
/// Limit of a page of several documents: the size of documents is known only when they arrive. A page that exceeds it is
/// read again with half as many documents.
const PAGE_BYTES_MAX: usize = 4 * PAGE_BYTES;

/// A running scan.
pub(super) struct GenerationScan {
    cluster: Arc<Cluster>,
    /// Indexes not started yet.
    remaining: Vec<String>,
    view: Option<PointInTime>,
    page: usize,
}

/// An index at one moment.
struct PointInTime {
    pit: String,
    /// Id of the last document read.
    after: Option<Value>,
}

#[derive(Deserialize)]
struct CreatePitResponse {
    pit_id: String,
}

#[derive(Deserialize)]
pub(super) struct ScanResponse<'a> {
    #[serde(borrow)]
    pub(super) hits: StoredHits<'a>,
}

impl GenerationScan {
    /// Refreshes the indexes, so that the scan sees every earlier delivery, and lists them.
    pub(super) async fn begin(cluster: Arc<Cluster>, number: u32) -> Result<Self, SinkError> {
        refresh(&cluster, number).await?;
        let stems = Aliases::fetch(&cluster).await?.stems(&cluster, number);
        let remaining = stems.iter().rev().map(|stem| cluster.names.index(number, stem)).collect();
        Ok(Self { cluster, remaining, view: None, page: PAGE_FIRST })
    }

    async fn read(&mut self) -> Result<Vec<Held>, SinkError> {
        loop {
            let mut view = match self.view.take() {
                Some(view) => view,
                None => match self.remaining.pop() {
                    Some(index) => PointInTime { pit: self.open(&index).await?, after: None },
                    None => return Ok(Vec::new()),
                },
            };
            let Some((held, bytes)) = self.page_of(&view).await? else {
                self.page = (self.page / 2).max(1);
                self.view = Some(view);
                continue;
            };
            let Some(last) = held.last() else {
                self.close(&view).await;
                continue;
            };
            view.after = Some(json!(last.uuid));
            self.view = Some(view);
            let each = (bytes / held.len()).max(1);
            self.page = (PAGE_BYTES / each).clamp(1, PAGE_MAX);
            return Ok(held);
        }
    }

    async fn open(&self, index: &str) -> Result<String, SinkError> {
        let request = Request::post(&[index, "_search", "point_in_time"])
            .with("keep_alive", KEEP_ALIVE)
            .with("allow_partial_pit_creation", "false");
        let response = self.cluster.send(request).await?;
        let pit: CreatePitResponse = self.cluster.parse(response, "cannot open a point in time")?;
        Ok(pit.pit_id)
    }

    /// Returns a page and its size; `None` if it has several documents and is too large.
    async fn page_of(&self, view: &PointInTime) -> Result<Option<(Vec<Held>, usize)>, SinkError> {
        let mut body = json!({
            "size": self.page,
            "pit": { "id": view.pit, "keep_alive": KEEP_ALIVE },
            "sort": [{ "id": "asc" }],
            "version": true,
            "track_total_hits": false,
        });
        if let Some(after) = &view.after {
            body["search_after"] = json!([after]);
        }
        let request = Request::post(&["_search"]).with("allow_partial_search_results", "false").json(&body);
        let response = match self.page {
            1 => self.cluster.send(request).await?,
            _ => match self.cluster.send_within(request, PAGE_BYTES_MAX).await? {
                Some(response) => response,
                None => return Ok(None),
            },
        };
        if !response.is_ok() {
            return Err(self.cluster.refused(&response, "cannot read a page"));
        }
        let read: ScanResponse<'_> = serde_json::from_slice(&response.body)
            .map_err(|error| self.cluster.broken(format!("cannot read a page: {error}")))?;
        let held = read.hits.hits.into_iter().map(|hit| Held {
            uuid: hit.id,
            version: Some(hit.version),
            resource_key: hit.source.resource.and_then(|resource| self.cluster.types.key(resource.get())),
            content: Content::Document(Bytes::copy_from_slice(hit.source.document.get().as_bytes())),
        });
        Ok(Some((held.collect(), response.body.len())))
    }

    /// Releases the point in time. If this fails, it expires.
    async fn close(&self, view: &PointInTime) {
        let request = Request::delete(&["_search", "point_in_time"]).json(&json!({ "pit_id": [view.pit] }));
        let closed = self.cluster.send(request).await;
        if let Err(error) = closed {
            tracing::debug!(%error, "failed to release a point in time; it expires by itself");
        }
    }
}

impl Scan for GenerationScan {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Held>, SinkError>> {
        self.read().boxed()
    }
}
