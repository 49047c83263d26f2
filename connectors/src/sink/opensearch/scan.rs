//! Reading a whole generation: index by index, each as it was when its turn came, in the order of the ids.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use millstream_pipeline::sink::{Content, Held, Scan, SinkError};

use super::aliases::Aliases;
use super::cluster::Cluster;
use super::fetch::Source;
use super::indexes::refresh;
use super::request::Request;

/// How long the node keeps a view between two pages.
const KEEP_ALIVE: &str = "5m";
/// Documents of the first page; the next ones are as large as the documents let them be.
const PAGE_FIRST: usize = 100;
const PAGE_MAX: usize = 2_000;
const PAGE_BYTES: usize = 2 << 20;

/// A reading under way.
pub(super) struct GenerationScan {
    cluster: Arc<Cluster>,
    /// Indexes that were not begun yet.
    ahead: Vec<String>,
    view: Option<View>,
    page: usize,
}

/// An index as it was at one moment.
struct View {
    pit: String,
    /// The id of the last document that was read.
    after: Option<Value>,
}

#[derive(Deserialize)]
struct Pit {
    pit_id: String,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct Hit<'a> {
    #[serde(rename = "_id")]
    id: Uuid,
    #[serde(rename = "_version")]
    version: i64,
    #[serde(borrow, rename = "_source")]
    source: Source<'a>,
}

impl GenerationScan {
    /// Makes everything findable that was delivered before, and notes the indexes.
    pub(super) async fn begin(cluster: Arc<Cluster>, number: u32) -> Result<Self, SinkError> {
        refresh(&cluster, number).await?;
        let stems = Aliases::get(&cluster).await?.stems(&cluster, number);
        let ahead = stems.iter().rev().map(|stem| cluster.names.index(number, stem)).collect();
        Ok(Self { cluster, ahead, view: None, page: PAGE_FIRST })
    }

    async fn read(&mut self) -> Result<Vec<Held>, SinkError> {
        loop {
            let mut view = match self.view.take() {
                Some(view) => view,
                None => match self.ahead.pop() {
                    Some(index) => View { pit: self.open(&index).await?, after: None },
                    None => return Ok(Vec::new()),
                },
            };
            let (held, bytes) = self.page_of(&view).await?;
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
        let pit: Pit = self.cluster.read(self.cluster.ask(request).await?, "a view of an index could not be had")?;
        Ok(pit.pit_id)
    }

    async fn page_of(&self, view: &View) -> Result<(Vec<Held>, usize), SinkError> {
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
        let answer = self.cluster.expect(request, "a page could not be read").await?;
        let read: Answer<'_> = serde_json::from_slice(&answer.body)
            .map_err(|error| self.cluster.broken(format!("a page could not be read: {error}")))?;
        let held = read.hits.hits.into_iter().map(|hit| Held {
            uuid: hit.id,
            version: Some(hit.version),
            resource_key: hit.source.resource.and_then(|resource| self.cluster.types.key(resource.get())),
            content: Content::Document(Bytes::copy_from_slice(hit.source.document.get().as_bytes())),
        });
        Ok((held.collect(), answer.body.len()))
    }

    /// Lets the node forget the view now and not later. It will anyway, so nothing is lost if this fails.
    async fn close(&self, view: &View) {
        let request = Request::delete(&["_search", "point_in_time"]).json(&json!({ "pit_id": [view.pit] }));
        let closed = self.cluster.ask(request).await;
        if let Err(error) = closed {
            tracing::debug!(%error, "a view was left to expire");
        }
    }
}

impl Scan for GenerationScan {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Held>, SinkError>> {
        self.read().boxed()
    }
}
