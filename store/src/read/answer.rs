//! Rows of an answer: current in the cache, or to be composed.

use super::{ReadDocument, ReadError};
use crate::compose::compose_documents;
use crate::connect::{Client, Transaction};
use crate::error::StoreError;
use crate::load::{Caches, DocumentHead, head_columns, head_of};
use bytes::Bytes;
use deadpool_postgres::GenericClient;
use millstream_schema::plan::Mapping;
use tokio_postgres::{IsolationLevel, Row};

/// A document as one statement found it.
pub(super) struct Found {
    pub(super) head: DocumentHead,
    /// The cached body, if it is the one of the effective version.
    body: Option<Bytes>,
}

/// Select list that [`Found::read`] reads, over `dms.Document` as `d` and `dms.DocumentCache` as `c`.
pub(super) fn found_columns() -> String {
    format!(r#"{}, c."ContentVersion", c."Body""#, head_columns())
}

impl Found {
    /// Reads a row whose columns from `at` on are [`found_columns`].
    pub(super) fn read(row: &Row, at: usize) -> Result<Self, StoreError> {
        let head = head_of(row, at)?;
        let cached: Option<i64> = row.try_get(at + 6)?;
        let body = match row.try_get::<_, Option<&str>>(at + 7)? {
            Some(body) if cached == Some(head.effective_version) => Some(Bytes::copy_from_slice(body.as_bytes())),
            _ => None,
        };
        Ok(Self { head, body })
    }

    pub(super) fn is_current(&self) -> bool {
        self.body.is_some()
    }
}

/// The documents of an answer whose every row is current.
pub(super) fn from_cache(found: Vec<Found>) -> Vec<ReadDocument> {
    found.into_iter().filter_map(|found| Some(document(found.head, found.body?, true))).collect()
}

/// The documents of an answer, those that are not current composed from the tables. `client` is in the transaction in
/// which they were found.
pub(super) async fn composed<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    caches: &Caches,
    found: Vec<Found>,
) -> Result<Vec<ReadDocument>, ReadError> {
    let stale = found.iter().filter(|found| !found.is_current()).map(|found| found.head.clone()).collect();
    let mut bodies = compose_documents(client, mapping, caches, stale).await?.into_iter();
    let mut documents = Vec::with_capacity(found.len());
    for found in found {
        if let Some(body) = found.body {
            documents.push(document(found.head, body, true));
        } else if let Some(composed) = bodies.next() {
            documents.push(document(composed.head, Bytes::from(composed.body?), false));
        }
    }
    Ok(documents)
}

fn document(head: DocumentHead, body: Bytes, from_cache: bool) -> ReadDocument {
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
