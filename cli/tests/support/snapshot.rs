//! All documents of a database as the API serves them.

use super::http::Http;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use millstream_schema::plan::Mapping;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Requests in flight.
const IN_FLIGHT: usize = 4;
/// Page size.
const PAGE: usize = 500;

/// One document as served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedDocument {
    /// Project endpoint and resource endpoint.
    pub(crate) endpoint: (String, String),
    pub(crate) etag: i64,
    pub(crate) bytes: Bytes,
}

impl ServedDocument {
    /// Parses the document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("documents are JSON")
    }

    /// Returns the path below `/data`.
    pub(crate) fn path(&self, uuid: Uuid) -> String {
        format!("{}/{}/{uuid}", self.endpoint.0, self.endpoint.1)
    }
}

/// All documents by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<Uuid, ServedDocument>);

#[derive(Deserialize)]
struct Envelope {
    id: Uuid,
    #[serde(rename = "_etag")]
    etag: String,
}

impl Snapshot {
    /// Reads all collections completely.
    pub(crate) async fn take(http: &Http, mapping: &Mapping) -> Self {
        let endpoints = mapping.resources.iter().map(|plan| (plan.project_endpoint.clone(), plan.endpoint.clone()));
        let collections = stream::iter(endpoints).map(|endpoint| collection(http, endpoint));
        let pages: Vec<Vec<(Uuid, ServedDocument)>> = collections.buffer_unordered(IN_FLIGHT).collect().await;
        let count: usize = pages.iter().map(Vec::len).sum();
        let all = Self(pages.into_iter().flatten().collect());
        assert_eq!(all.0.len(), count, "a collection served a document twice");
        all
    }

    pub(crate) fn documents(&self) -> impl Iterator<Item = (Uuid, &ServedDocument)> {
        self.0.iter().map(|(uuid, seen)| (*uuid, seen))
    }

    pub(crate) fn get(&self, uuid: Uuid) -> &ServedDocument {
        self.0.get(&uuid).unwrap_or_else(|| panic!("{uuid} is not served"))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails, with examples, unless both snapshots are identical to the byte.
    pub(crate) fn assert_same(&self, other: &Self, what: &str) {
        let mut examples = Vec::new();
        for (uuid, seen) in &self.0 {
            match other.0.get(uuid) {
                Some(now) if now == seen => {}
                now => examples.push(format!("{} {uuid}\n  was {seen:?}\n  is  {now:?}", seen.endpoint.1)),
            }
        }
        let count = examples.len();
        examples.truncate(5);
        assert!(count == 0, "{what}: {count} documents differ\n{}", examples.join("\n"));
        assert_eq!(self.len(), other.len(), "{what}: the number of documents");
    }
}

async fn collection(http: &Http, endpoint: (String, String)) -> Vec<(Uuid, ServedDocument)> {
    let mut documents = Vec::new();
    let first = format!("{}/{}?limit={PAGE}", endpoint.0, endpoint.1);
    let mut path = first.clone();
    loop {
        let reply = http.get(&path).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        let page: Vec<&RawValue> = serde_json::from_slice(&reply.body).expect("a page is an array");
        for document in page {
            let Envelope { id, etag } = serde_json::from_str(document.get()).expect("documents have an id and an etag");
            let bytes = reply.body.slice_ref(document.get().as_bytes());
            let etag = etag.parse().expect("an etag is a version");
            documents.push((id, ServedDocument { endpoint: endpoint.clone(), etag, bytes }));
        }
        match reply.next_page {
            Some(token) => path = format!("{first}&pageToken={token}"),
            None => return documents,
        }
    }
}
