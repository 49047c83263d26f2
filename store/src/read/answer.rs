//! Documents of an answer: current in the cache, or to be composed, as many as fit into memory.

use super::document::{ReadDocument, ReadError};
use crate::compose::compose_within;
use crate::connect::GenericClient;
use crate::load::{Caches, DocumentHead};
use crate::table::document_body::{CachedBody, DocumentBody};
use bytes::Bytes;
use millstream_schema::plan::Mapping;

/// An answer takes its bodies as they are read, and once more while they are assembled or composed from rows.
pub(super) const COPIES: usize = 2;

/// The leading documents of an answer that fit into memory.
#[derive(Debug, Default)]
pub(super) struct AnswerPart {
    pub(super) documents: Vec<ReadDocument>,
    /// Bytes that the first of the other documents needs; `None` if there are none.
    pub(super) deferred: Option<usize>,
}

/// Whether every document that was read is current in the cache.
pub(super) fn is_current(found: &[DocumentBody]) -> bool {
    found.iter().all(|found| found.body != CachedBody::NotCurrent)
}

/// The leading documents of an answer of which every row is current.
pub(super) fn from_cache(found: Vec<DocumentBody>) -> AnswerPart {
    let mut part = AnswerPart::default();
    for DocumentBody { head, body } in found {
        match body {
            CachedBody::Current(body) => part.documents.push(served(head, body, true)),
            CachedBody::Deferred { bytes } => {
                part.deferred = Some(bytes);
                break;
            }
            CachedBody::NotCurrent => break,
        }
    }
    part
}

/// The leading documents of an answer, those that are not current composed from rows of at most `bytes_max` bytes.
/// `client` is in the transaction in which they were found.
pub(super) async fn composed<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    caches: &Caches,
    mut found: Vec<DocumentBody>,
    bytes_max: usize,
) -> Result<AnswerPart, ReadError> {
    let mut part = AnswerPart::default();
    let is_deferred = |found: &DocumentBody| matches!(found.body, CachedBody::Deferred { .. });
    if let Some(at) = found.iter().position(is_deferred)
        && let CachedBody::Deferred { bytes } = found[at].body
    {
        part.deferred = Some(bytes);
        found.truncate(at);
    }
    let stale = found.iter().filter(|found| found.body == CachedBody::NotCurrent).map(|found| found.head.clone());
    let composed = compose_within(client, mapping, caches, None, stale.collect(), bytes_max).await?;
    let mut bodies = composed.composed.into_iter();
    for DocumentBody { head, body } in found {
        if let CachedBody::Current(body) = body {
            part.documents.push(served(head, body, true));
        } else if let Some(composed) = bodies.next() {
            part.documents.push(served(composed.head, Bytes::from(composed.body?), false));
        } else {
            part.deferred = composed.deferred.first().map(|deferred| deferred.bytes);
            break;
        }
    }
    Ok(part)
}

fn served(head: DocumentHead, body: Bytes, from_cache: bool) -> ReadDocument {
    ReadDocument {
        uuid: head.uuid,
        version: head.effective_version,
        last_modified: head.last_modified,
        body,
        from_cache,
        memory: None,
    }
}
