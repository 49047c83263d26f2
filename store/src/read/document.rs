//! A document as it is served, and why a read fails.

use crate::compose::{ComposeError, append_envelope};
use crate::error::StoreError;
use crate::query::QueryError;
use bytes::Bytes;
use jiff::Timestamp;
use millstream_pipeline::memory::{MemoryReservation, OverBudget, reserved_bytes};
use std::sync::Arc;
use uuid::Uuid;

/// Bytes of a document's envelope, about.
const ENVELOPE_BYTES: usize = 160;

/// A document as it is served.
#[derive(Debug, Clone)]
pub struct ReadDocument {
    /// The public id.
    pub uuid: Uuid,
    /// The effective version: the etag.
    pub version: i64,
    /// When the effective version came to be.
    pub last_modified: Timestamp,
    /// The stored body, without server members.
    pub body: Bytes,
    /// Whether the body came from the cache.
    pub from_cache: bool,
    /// The memory that the answer takes, if it is counted for this document alone.
    pub memory: Option<Arc<MemoryReservation>>,
}

impl ReadDocument {
    /// Appends the API's bytes of this document.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        append_envelope(out, &self.body, self.uuid, self.version, self.last_modified);
    }

    /// Returns the API's bytes of this document. They keep its memory reserved until they are dropped.
    pub fn into_json(self) -> Bytes {
        let mut json = Vec::with_capacity(self.body.len() + ENVELOPE_BYTES);
        self.append_to(&mut json);
        reserved_bytes(json, self.memory)
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client's query is not valid.
    #[error("the query is not valid")]
    Query(#[from] QueryError),
    /// The database failed.
    #[error("the database could not be read")]
    Store(#[from] StoreError),
    /// No body can be composed from a document's rows.
    #[error("a document could not be composed")]
    Compose(#[from] ComposeError),
    /// A document is larger than the memory that an answer can have.
    #[error("a document does not fit into memory")]
    OverBudget(#[from] OverBudget),
}

impl From<tokio_postgres::Error> for ReadError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}
