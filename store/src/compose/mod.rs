//! JSON from rows.
//!
//! [`compose_within`] is the one way from tables to a body: the projector fills the cache with it, the API answers
//! with it where the cache lags, and the audit compares the cache against it. The stored body has no server
//! members; [`envelope`] adds them, the same way for cached and composed bodies.

mod body;
mod envelope;
mod error;
mod value;

pub use envelope::{append_envelope, body_hash, envelope, whole_seconds};
pub use error::{ComposeError, ComposeProblem};
pub(crate) use value::write_text;

use crate::connect::GenericClient;
use crate::error::StoreError;
use crate::load::{
    Batch, Caches, DocumentHead, Lookups, RowBudget, TypeRows, document_sizes, load_documents, load_lookups,
};
use crate::table::server::{self, ServerInstance};
use body::BodyComposer;
use millstream_schema::plan::{Mapping, ResourceIx, ResourceKeyId};
use std::collections::{BTreeMap, HashMap};

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
/// cannot be composed has the error in its own [`Composed::body`]. The caller bounds the size of the documents;
/// [`compose_within`] does it by itself.
pub async fn compose_documents<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    caches: &Caches,
    heads: Vec<DocumentHead>,
) -> Result<Vec<Composed>, StoreError> {
    Ok(compose_within(client, mapping, caches, None, heads, usize::MAX).await?.composed)
}

/// The leading documents of a batch, composed, and those that did not fit.
#[derive(Debug, Default)]
pub struct ComposedPart {
    /// The documents whose rows fit, in the order given.
    pub composed: Vec<Composed>,
    /// The others, in the order given. The first of them needs more memory than was left after the composed ones.
    pub deferred: Vec<DeferredDocument>,
}

/// A document that was not loaded, because its rows did not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeferredDocument {
    /// The document.
    pub head: DocumentHead,
    /// Memory that its rows take, in bytes.
    pub bytes: usize,
}

/// Composes as many of these distinct documents as have rows of at most `bytes_max` bytes, in the order given. Bodies
/// take about as much again once the rows are freed.
///
/// `client` as for [`compose_documents`]. `server` is the one that `client` is connected to; `None` reads it.
pub async fn compose_within<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    caches: &Caches,
    server: Option<ServerInstance>,
    heads: Vec<DocumentHead>,
    bytes_max: usize,
) -> Result<ComposedPart, StoreError> {
    let instance = async {
        match server {
            Some(known) => Ok(known),
            None => server::instance(client).await,
        }
    };
    let (server, rows) = futures::join!(instance, load_within(client, mapping, heads, bytes_max));
    let FittingRows { batch, heads, deferred } = rows?;
    if heads.is_empty() {
        return Ok(ComposedPart { composed: Vec::new(), deferred });
    }
    let lookups = load_lookups(client, mapping, &caches.of(server?), &batch).await?;
    Ok(ComposedPart { composed: compose_rows(mapping, batch, &lookups, heads), deferred })
}

/// The rows of the leading documents of a batch that fit.
#[derive(Debug)]
pub(crate) struct FittingRows {
    pub(crate) batch: Batch,
    /// The documents, in the order given.
    pub(crate) heads: Vec<DocumentHead>,
    /// The others, in the order given.
    pub(crate) deferred: Vec<DeferredDocument>,
}

/// Reads the rows of as many of these distinct documents as have at most `bytes_max` bytes of them.
pub(crate) async fn load_within<C: GenericClient>(
    client: &C,
    mapping: &Mapping,
    mut heads: Vec<DocumentHead>,
    bytes_max: usize,
) -> Result<FittingRows, StoreError> {
    if let Some(batch) = load_documents(client, mapping, &heads, &RowBudget::new(bytes_max)).await? {
        return Ok(FittingRows { batch, heads, deferred: Vec::new() });
    }
    let sizes = document_sizes(client, mapping, &heads).await?;
    let deferred = split_off_beyond(&mut heads, &sizes, bytes_max);
    let batch = load_documents(client, mapping, &heads, &RowBudget::measured()).await?.unwrap_or_default();
    Ok(FittingRows { batch, heads, deferred })
}

/// Leaves the leading documents whose rows fit, and returns the others.
fn split_off_beyond(
    heads: &mut Vec<DocumentHead>,
    sizes: &HashMap<i64, usize>,
    bytes_max: usize,
) -> Vec<DeferredDocument> {
    let size = |head: &DocumentHead| sizes.get(&head.document_id).copied().unwrap_or_default();
    let mut bytes = 0_usize;
    let fitting = heads.iter().take_while(|head| {
        bytes = bytes.saturating_add(size(head));
        bytes <= bytes_max
    });
    let rest = heads.split_off(fitting.count());
    rest.into_iter().map(|head| DeferredDocument { bytes: size(&head), head }).collect()
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
        let budget = RowBudget::measured();
        let (server, batch) =
            futures::join!(server::instance(client), load_documents(client, mapping, &heads, &budget));
        let batch = batch?.unwrap_or_default();
        let lookups = load_lookups(client, mapping, &caches.of(server?), &batch).await?;
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
    let mut bodies = Bodies::new();
    for (ix, rows) in &batch.types {
        compose_type(mapping, *ix, rows, lookups, &mut bodies);
    }
    with_heads(mapping, bodies, heads)
}

/// [`compose_loaded`] that frees the rows of each type once its bodies are composed.
fn compose_rows(mapping: &Mapping, batch: Batch, lookups: &Lookups, heads: Vec<DocumentHead>) -> Vec<Composed> {
    let mut bodies = Bodies::new();
    for (ix, rows) in batch.types {
        compose_type(mapping, ix, &rows, lookups, &mut bodies);
    }
    with_heads(mapping, bodies, heads)
}

type Bodies = BTreeMap<i64, Result<Vec<u8>, ComposeProblem>>;

fn compose_type(mapping: &Mapping, ix: ResourceIx, rows: &TypeRows, lookups: &Lookups, bodies: &mut Bodies) {
    let mut composer = BodyComposer::new(mapping.resource(ix), rows, lookups);
    for id in &rows.ids {
        bodies.insert(*id, composer.compose(*id));
    }
}

fn with_heads(mapping: &Mapping, mut bodies: Bodies, heads: Vec<DocumentHead>) -> Vec<Composed> {
    let unknown = |key: ResourceKeyId| Err(ComposeProblem::UnknownType(key));
    let composed = heads.into_iter().map(|head| {
        let body = bodies.remove(&head.document_id).unwrap_or_else(|| unknown(head.key));
        let body = body.map_err(|problem| ComposeError {
            document_id: head.document_id,
            uuid: head.uuid,
            resource: resource_name(mapping, head.key),
            problem,
        });
        Composed { head, body }
    });
    composed.collect()
}

fn resource_name(mapping: &Mapping, key: ResourceKeyId) -> String {
    let named = |ix: ResourceIx| mapping.resource(ix).resource_name.clone();
    mapping.by_key(key).map_or_else(|| format!("document of type {key}"), named)
}
