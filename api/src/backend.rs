//! The backend of the HTTP surface: a reader and a writer of documents.
//!
//! Both are traits, so that tests can inject faults that a database does not produce on demand.

use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_pipeline::memory::MemoryBudget;
use millstream_schema::plan::{Mapping, ResourceIx};
use millstream_store::connect::Database;
use millstream_store::load::Caches;
use millstream_store::query::QueryRequest;
use millstream_store::read::{self, Page, ReadDocument, ReadError};
use millstream_writer::{Preconditions, WriteError, Writer, Written};
use std::sync::Arc;
use uuid::Uuid;

/// Reads documents. A result is never older than the state committed when the call was made (FRESH).
pub trait DocumentReader: Send + Sync + 'static {
    /// Reads one document; `None` if no document of this type has the id.
    fn get(&self, resource: ResourceIx, uuid: Uuid) -> BoxFuture<'_, Result<Option<ReadDocument>, ReadError>>;

    /// Reads a page of a collection.
    fn page<'a>(&'a self, resource: ResourceIx, request: &'a QueryRequest) -> BoxFuture<'a, Result<Page, ReadError>>;
}

/// Writes documents. Each call succeeds or fails by itself: `Ok` means committed, `Err` means that nothing was written. One
/// exception: with [`WriteError::OutcomeUnknown`] the confirmation of the commit was lost with the connection.
pub trait DocumentWriter: Send + Sync + 'static {
    /// Inserts the document, or updates the one with the same identity.
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

/// Reads from PostgreSQL: from the cache, or composed from the tables if the cached row is not current.
#[derive(Debug, Clone)]
pub struct StoreReader {
    database: Database,
    mapping: Arc<Mapping>,
    caches: Arc<Caches>,
    memory: MemoryBudget,
}

impl StoreReader {
    /// Creates a reader. Other components that compose documents of the same database may share `caches`; `memory` is
    /// shared with every other component of the process that holds documents.
    pub fn new(database: Database, mapping: Arc<Mapping>, caches: Arc<Caches>, memory: MemoryBudget) -> Self {
        Self { database, mapping, caches, memory }
    }
}

impl DocumentReader for StoreReader {
    fn get(&self, resource: ResourceIx, uuid: Uuid) -> BoxFuture<'_, Result<Option<ReadDocument>, ReadError>> {
        Box::pin(read::get(&self.database, &self.mapping, &self.caches, &self.memory, resource, uuid))
    }

    fn page<'a>(&'a self, resource: ResourceIx, request: &'a QueryRequest) -> BoxFuture<'a, Result<Page, ReadError>> {
        Box::pin(read::page(&self.database, &self.mapping, &self.caches, &self.memory, resource, request))
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
