//! JSON from rows.
//!
//! [`compose_documents`] is the one way from tables to a body: the projector fills the cache with it, the API answers
//! with it where the cache lags, and the audit compares the cache against it. The stored body has no server
//! members; [`envelope`] adds them, the same way for cached and composed bodies.

mod body;
mod envelope;
mod error;
mod value;

pub use envelope::{append_envelope, body_hash, envelope, whole_seconds};
pub use error::{ComposeError, ComposeProblem};
pub(crate) use value::write_text;

use crate::error::StoreError;
use crate::load::{Batch, Caches, DocumentHead, Lookups, load_documents, load_lookups};
use body::BodyComposer;
use deadpool_postgres::GenericClient;
use millstream_schema::plan::{Mapping, ResourceIx, ResourceKeyId};
use std::collections::BTreeMap;

/// A document and its body, or why it has none.
#[derive(Debug)]
pub struct Composed {
    /// The document.
    pub head: DocumentHead,
    /// The stored body: a JSON object without `id`, `_etag` and `_lastModifiedDate`.
    pub body: Result<Vec<u8>, ComposeError>,
}

/// Composes these documents from the tables, in the order given.
///
/// `client` must be inside one `REPEATABLE READ` transaction, the one in which the heads were read: the body then is
/// that of the head's version. It sends a constant number of statements per type among the documents. A document that
/// cannot be composed has the error in its own [`Composed::body`].
pub async fn compose_documents<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    caches: &Caches,
    heads: Vec<DocumentHead>,
) -> Result<Vec<Composed>, StoreError> {
    Ok(Loaded::read(client, mapping, caches, heads).await?.compose(mapping))
}

/// Documents whose rows and lookups were read: composing them needs no database.
#[derive(Debug)]
pub struct Loaded {
    batch: Batch,
    lookups: Lookups,
    heads: Vec<DocumentHead>,
}

impl Loaded {
    /// Reads everything that the bodies are composed from. `client` as for [`compose_documents`].
    pub async fn read<C: GenericClient>(
        client: &C,
        mapping: &Mapping,
        caches: &Caches,
        heads: Vec<DocumentHead>,
    ) -> Result<Self, StoreError> {
        let batch = load_documents(client, mapping, &heads).await?;
        let lookups = load_lookups(client, mapping, caches, &batch).await?;
        Ok(Self { batch, lookups, heads })
    }

    /// Writes the bodies, in the order of the heads.
    pub fn compose(&self, mapping: &Mapping) -> Vec<Composed> {
        compose_loaded(mapping, &self.batch, &self.lookups, self.heads.clone())
    }
}

/// Composes documents whose rows and lookups were read, in the order given.
pub(crate) fn compose_loaded(
    mapping: &Mapping,
    batch: &Batch,
    lookups: &Lookups,
    heads: Vec<DocumentHead>,
) -> Vec<Composed> {
    let mut bodies: BTreeMap<i64, Result<Vec<u8>, ComposeProblem>> = BTreeMap::new();
    for (ix, rows) in &batch.types {
        let mut composer = BodyComposer::new(mapping.resource(*ix), rows, lookups);
        for id in &rows.ids {
            bodies.insert(*id, composer.compose(*id));
        }
    }
    let unknown = |key: ResourceKeyId| Err(ComposeProblem::UnknownType(key));
    heads
        .into_iter()
        .map(|head| {
            let body = bodies.get(&head.document_id).cloned().unwrap_or_else(|| unknown(head.key));
            let body = body.map_err(|problem| ComposeError {
                document_id: head.document_id,
                uuid: head.uuid,
                resource: resource_name(mapping, head.key),
                problem,
            });
            Composed { head, body }
        })
        .collect()
}

fn resource_name(mapping: &Mapping, key: ResourceKeyId) -> String {
    let named = |ix: ResourceIx| mapping.resource(ix).resource_name.clone();
    mapping.by_key(key).map_or_else(|| format!("document of type {key}"), named)
}
