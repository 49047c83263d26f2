//! Documents of an answer: current in the cache, or to be composed.

use super::document::{ReadDocument, ReadError};
use crate::compose::compose_documents;
use crate::connect::{Client, Transaction};
use crate::error::StoreError;
use crate::load::{Caches, DocumentHead};
use crate::table::document_body::DocumentBody;
use bytes::Bytes;
use deadpool_postgres::GenericClient;
use millstream_schema::plan::Mapping;
use tokio_postgres::IsolationLevel;

/// The documents of an answer whose every row is current.
pub(super) fn from_cache(found: Vec<DocumentBody>) -> Vec<ReadDocument> {
    found.into_iter().filter_map(|found| Some(served(found.head, found.body?, true))).collect()
}

/// The documents of an answer, those that are not current composed from the tables. `client` is in the transaction in
/// which they were found.
pub(super) async fn composed<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    caches: &Caches,
    found: Vec<DocumentBody>,
) -> Result<Vec<ReadDocument>, ReadError> {
    let stale = found.iter().filter(|found| found.body.is_none()).map(|found| found.head.clone()).collect();
    let mut bodies = compose_documents(client, mapping, caches, stale).await?.into_iter();
    let mut documents = Vec::with_capacity(found.len());
    for found in found {
        if let Some(body) = found.body {
            documents.push(served(found.head, body, true));
        } else if let Some(composed) = bodies.next() {
            documents.push(served(composed.head, Bytes::from(composed.body?), false));
        }
    }
    Ok(documents)
}

fn served(head: DocumentHead, body: Bytes, from_cache: bool) -> ReadDocument {
    ReadDocument {
        uuid: head.uuid,
        version: head.effective_version,
        last_modified: head.last_modified,
        body,
        from_cache,
    }
}

/// Opens the transaction that an answer is composed in.
pub(super) async fn open_snapshot(client: &mut Client) -> Result<Transaction<'_>, StoreError> {
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    Ok(transaction.start().await?)
}
