//! What the HTTP surface stands on: something that reads documents and something that writes them.
//!
//! Both are traits, so that a test can put a fault where a database would not show one on demand.

use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_schema::plan::{Mapping, ResourceIx};
use millstream_store::connect::Database;
use millstream_store::load::Caches;
use millstream_store::query::QueryRequest;
use millstream_store::read::{self, Page, ReadDocument, ReadError};
use millstream_writer::{Preconditions, WriteError, Writer, Written};
use std::sync::Arc;
use uuid::Uuid;

/// Reads documents. An answer is never older than what was committed when the call was made (FRESH).
pub trait DocumentReader: Send + Sync + 'static {
    /// One document. `None`: there is none with this id, or it is of another type.
    fn get(&self, resource: ResourceIx, uuid: Uuid) -> BoxFuture<'_, Result<Option<ReadDocument>, ReadError>>;

    /// A page of a collection.
    fn page<'a>(&'a self, resource: ResourceIx, request: &'a QueryRequest) -> BoxFuture<'a, Result<Page, ReadError>>;
}

/// Writes documents. Each call is one transaction: it is committed when the call answers `Ok`, and has left nothing
/// when it answers `Err`.
pub trait DocumentWriter: Send + Sync + 'static {
    /// Inserts or updates the document that the body's identity names.
    fn post(
        &self,
        resource: ResourceIx,
        body: Bytes,
        preconditions: Preconditions,
    ) -> BoxFuture<'_, Result<Written, WriteError>>;

    /// Replaces a document.
    fn put(
        &self,
        resource: ResourceIx,
        uuid: Uuid,
        body: Bytes,
        preconditions: Preconditions,
    ) -> BoxFuture<'_, Result<Written, WriteError>>;

    /// Removes a document.
    fn delete(
        &self,
        resource: ResourceIx,
        uuid: Uuid,
        preconditions: Preconditions,
    ) -> BoxFuture<'_, Result<Written, WriteError>>;
}

/// Reads from PostgreSQL: out of the cache, composed from the tables where the cache is behind.
#[derive(Debug, Clone)]
pub struct StoreReader {
    database: Database,
    mapping: Arc<Mapping>,
    caches: Arc<Caches>,
}

impl StoreReader {
    /// A reader of this database. `caches` may be shared with whoever else composes documents of it.
    pub fn new(database: Database, mapping: Arc<Mapping>, caches: Arc<Caches>) -> Self {
        Self { database, mapping, caches }
    }
}

impl DocumentReader for StoreReader {
    fn get(&self, resource: ResourceIx, uuid: Uuid) -> BoxFuture<'_, Result<Option<ReadDocument>, ReadError>> {
        Box::pin(read::get(&self.database, &self.mapping, &self.caches, resource, uuid))
    }

    fn page<'a>(&'a self, resource: ResourceIx, request: &'a QueryRequest) -> BoxFuture<'a, Result<Page, ReadError>> {
        Box::pin(read::page(&self.database, &self.mapping, &self.caches, resource, request))
    }
}

impl DocumentWriter for Writer {
    fn post(
        &self,
        resource: ResourceIx,
        body: Bytes,
        preconditions: Preconditions,
    ) -> BoxFuture<'_, Result<Written, WriteError>> {
        Box::pin(async move { Self::post(self, resource, &body, &preconditions).await })
    }

    fn put(
        &self,
        resource: ResourceIx,
        uuid: Uuid,
        body: Bytes,
        preconditions: Preconditions,
    ) -> BoxFuture<'_, Result<Written, WriteError>> {
        Box::pin(async move { Self::put(self, resource, uuid, &body, &preconditions).await })
    }

    fn delete(
        &self,
        resource: ResourceIx,
        uuid: Uuid,
        preconditions: Preconditions,
    ) -> BoxFuture<'_, Result<Written, WriteError>> {
        Box::pin(async move { Self::delete(self, resource, uuid, &preconditions).await })
    }
}
