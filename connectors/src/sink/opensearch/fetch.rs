//! What the indexes hold of some documents: read by id, and so as of now, not as of the last refresh.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use millstream_pipeline::sink::{DocumentKey, SinkError};

use super::cluster::Cluster;
use super::request::Request;

/// Documents of one request.
const PAGE: usize = 200;

/// What lies in an index for one document. Always asked for whole: where a part is asked for, the node parses it and writes
/// it anew, with other digits in its numbers and its members in another order.
#[derive(Deserialize)]
pub(super) struct Source<'a> {
    /// As it was delivered, byte for byte.
    #[serde(borrow)]
    pub(super) document: &'a RawValue,
    /// The name of its type, with the quotes.
    #[serde(borrow)]
    pub(super) resource: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    docs: Vec<Found<'a>>,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow, rename = "_source")]
    source: Option<Source<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

pub(super) async fn fetch(
    cluster: &Cluster,
    number: u32,
    keys: &[DocumentKey],
) -> Result<Vec<Option<Bytes>>, SinkError> {
    let mut documents = Vec::with_capacity(keys.len());
    for page in keys.chunks(PAGE) {
        documents.extend(fetch_page(cluster, number, page).await?);
    }
    Ok(documents)
}

async fn fetch_page(cluster: &Cluster, number: u32, keys: &[DocumentKey]) -> Result<Vec<Option<Bytes>>, SinkError> {
    let mut wanted = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(ty) = cluster.types.get(key.resource_key) else {
            return Err(
                cluster.broken(format!("it is asked for a type {} that the schema does not have", key.resource_key))
            );
        };
        let index = cluster.names.index(number, &ty.stem);
        wanted.push(json!({ "_index": index, "_id": key.uuid }));
    }
    let request = Request::post(&["_mget"]).json(&json!({ "docs": wanted }));
    let answer = cluster.expect(request, "documents could not be read").await?;
    let read: Answer<'_> = serde_json::from_slice(&answer.body)
        .map_err(|error| cluster.broken(format!("documents could not be read: {error}")))?;
    if read.docs.len() != keys.len() {
        return Err(cluster.broken(format!("asked for {} documents, it answered for {}", keys.len(), read.docs.len())));
    }
    let found = read.docs.into_iter().map(|found| match (found.source, found.error) {
        (Some(source), _) => Ok(Some(Bytes::copy_from_slice(source.document.get().as_bytes()))),
        // A type of which there was no document yet has no index.
        (None, Some(error)) if !error.get().contains("index_not_found_exception") => {
            Err(cluster.unavailable(format!("a document could not be read: {}", error.get())))
        }
        (None, _) => Ok(None),
    });
    found.collect()
}
