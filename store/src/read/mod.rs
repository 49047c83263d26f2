//! What the API reads: one document, or a page of a collection.
//!
//! The fast path is one autocommit statement over `dms.Document`, `dms.DocumentCache` and the open cascades. If any row
//! of the answer is not current in the cache, the whole answer, page and total count too, is made again in one
//! `REPEATABLE READ READ ONLY` transaction, in which the missing bodies are composed from the tables
//! (docs/design/rules.md#rule-4). So
//! nobody reads an old body (FRESH), whatever the state of the cache, and the bytes are the same either way.

mod answer;
mod one;
mod page;

pub use one::get;
pub use page::{Page, page};

use crate::compose::{ComposeError, append_envelope};
use crate::error::StoreError;
use crate::query::QueryError;
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

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
    /// The body came from the cache.
    pub from_cache: bool,
}

impl ReadDocument {
    /// Appends the API's bytes of this document.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        append_envelope(out, &self.body, self.uuid, self.version, self.last_modified);
    }
}

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client asked for something that cannot be asked.
    #[error("the query is not valid")]
    Query(#[from] QueryError),
    /// The database failed.
    #[error("the database could not be read")]
    Store(#[from] StoreError),
    /// A document's rows make no body.
    #[error("a document could not be composed")]
    Compose(#[from] ComposeError),
}

impl From<tokio_postgres::Error> for ReadError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}
