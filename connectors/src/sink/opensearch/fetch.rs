//! Reads documents by id. Reads by id see the present state, not that of the last refresh.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use millstream_pipeline::sink::{DocumentKey, SinkError};

use super::cluster::Cluster;
use super::errors::INDEX_NOT_FOUND;
use super::request::Request;

/// Documents per request.
const PAGE: usize = 200;
/// Limit of the response for several documents. Beyond it they are read again in halves.
const PAGE_BYTES_MAX: usize = 16 << 20;

/// The stored source of a document. Always requested whole: for a part, the node parses the source and writes it again,
/// with other digits in its numbers and another order of members.
#[derive(Deserialize)]
pub(super) struct StoredSource<'a> {
    /// The delivered bytes, unchanged.
    #[serde(borrow)]
    pub(super) document: &'a RawValue,
    /// The name of its resource, with the quotes.
    #[serde(borrow)]
    pub(super) resource: Option<&'a RawValue>,
}

/// The hits of a search.
#[derive(Deserialize)]
pub(super) struct StoredHits<'a> {
    #[serde(borrow)]
    pub(super) hits: Vec<StoredHit<'a>>,
}

/// One hit of a search.
#[derive(Deserialize)]
pub(super) struct StoredHit<'a> {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    #[serde(rename = "_version")]
    pub(super) version: i64,
    #[serde(borrow, rename = "_source")]
    pub(super) source: StoredSource<'a>,
}

#[derive(Deserialize)]
struct MgetResponse<'a> {
    #[serde(borrow)]
    docs: Vec<MgetDocument<'a>>,
}

#[derive(Deserialize)]
struct MgetDocument<'a> {
    #[serde(borrow, rename = "_source")]
    source: Option<StoredSource<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

pub(super) async fn fetch(
    cluster: &Cluster,
    number: u32,
    keys: &[DocumentKey],
) -> Result<Vec<Option<Bytes>>, SinkError> {
    let mut documents = Vec::with_capacity(keys.len());
    let mut parts: Vec<&[DocumentKey]> = keys.chunks(PAGE).rev().collect();
    while let Some(part) = parts.pop() {
        match fetch_page(cluster, number, part).await? {
            Some(found) => documents.extend(found),
            None => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
    }
    Ok(documents)
}

/// Returns the documents of a page; `None` if there are several and they are too large together.
async fn fetch_page(
    cluster: &Cluster,
    number: u32,
    keys: &[DocumentKey],
) -> Result<Option<Vec<Option<Bytes>>>, SinkError> {
    let mut docs = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(ty) = cluster.types.get(key.resource_key) else {
            return Err(cluster.broken(format!("the schema has no resource with the key {}", key.resource_key)));
        };
        let index = cluster.names.index(number, &ty.stem);
        docs.push(json!({ "_index": index, "_id": key.uuid }));
    }
    let request = Request::post(&["_mget"]).json(&json!({ "docs": docs }));
    let response = match keys {
        [_] => cluster.send(request).await?,
        _ => match cluster.send_within(request, PAGE_BYTES_MAX).await? {
            Some(response) => response,
            None => return Ok(None),
        },
    };
    if !response.is_ok() {
        return Err(cluster.refused(&response, "cannot read documents"));
    }
    let read: MgetResponse<'_> = serde_json::from_slice(&response.body)
        .map_err(|error| cluster.broken(format!("cannot read documents: {error}")))?;
    if read.docs.len() != keys.len() {
        return Err(cluster.broken(format!("it returned {} documents instead of {}", read.docs.len(), keys.len())));
    }
    let found = read.docs.into_iter().map(|found| match (found.source, found.error) {
        (Some(source), _) => Ok(Some(Bytes::copy_from_slice(source.document.get().as_bytes()))),
        // A resource without documents has no index.
        (None, Some(error)) if !error.get().contains(INDEX_NOT_FOUND) => {
            Err(cluster.unavailable(format!("cannot read a document: {}", error.get())))
        }
        (None, _) => Ok(None),
    });
    found.collect::<Result<_, _>>().map(Some)
}
