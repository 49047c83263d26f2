//! The public entry point of the writer.

use crate::attempt::final_error;
use crate::batch::{self, BatchOptions, LaneSenders, Lanes};
use crate::body::{IdRule, InvalidJsonSchema, Validators};
use crate::body_reader::BodyReader;
use crate::delete::Delete;
use crate::error::WriteError;
use crate::options::WriterOptions;
use crate::request::{Preconditions, Written};
use crate::upsert::Upsert;
use crate::upsert_request::UpsertRequest;
use millstream_schema::plan::{Mapping, ResourceIx};
use millstream_store::connect::Database;
use millstream_store::retry::{RetryPolicy, with_retry};
use std::sync::Arc;
use uuid::Uuid;

/// Writes documents. Cheap to clone.
///
/// A call uses one connection of the pool, or shares one with others ([`Writer::batching`]). A call that is dropped before
/// it returns leaves no half-written document: its connection is closed and the server rolls back, unless the commit was
/// already sent. A call that shares a transaction is not made if it is dropped before the transaction begins; afterwards it
/// is made to its end.
///
/// A call that finds no free connection waits in this process and has taken no lock yet. The limits of that wait, and of
/// waits for locks, are those of the pool (`PoolOptions::wait`, `SessionSettings::lock_timeout`).
#[derive(Clone, Debug)]
pub struct Writer {
    database: Database,
    mapping: Arc<Mapping>,
    bodies: Arc<BodyReader>,
    options: WriterOptions,
    retry: RetryPolicy,
    /// None: every write has a transaction of its own.
    lanes: Option<LaneSenders>,
}

impl Writer {
    /// A writer on a provisioned database.
    ///
    /// # Errors
    /// A JSON schema of the mapping that does not compile, by resource.
    pub fn new(database: Database, mapping: Arc<Mapping>, options: WriterOptions) -> Result<Self, InvalidJsonSchema> {
        let bodies = Arc::new(BodyReader::new(Arc::clone(&mapping), Validators::compile(&mapping)?));
        Ok(Self { database, mapping, bodies, options, retry: RetryPolicy::default(), lanes: None })
    }

    /// Lets writes that are in progress at the same time share transactions. `database` is the same database, with a
    /// pool of one session for each lane whose limit on waits for locks is short: what waits for longer gets a session
    /// of this writer's own pool.
    #[must_use = "writes wait until the lanes run"]
    pub fn batching(self, database: Database, batching: BatchOptions) -> (Self, Lanes) {
        let Self { database: singles, mapping, options, retry, .. } = self.clone();
        let (lanes, running) = batch::open(database, singles, mapping, options, batching, retry);
        (Self { lanes: Some(lanes), ..self }, running)
    }

    /// Upserts by identity: creates the document, or replaces the content of the existing one.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was written then, except that it is unknown with [`WriteError::OutcomeUnknown`].
    pub async fn post(&self, resource: ResourceIx, body: &[u8], when: &Preconditions) -> Result<Written, WriteError> {
        self.upsert(resource, None, body, when).await
    }

    /// Replaces the content of the document with this id, and its identity where the type allows that.
    ///
    /// # Errors
    /// See [`WriteError`] and [`Writer::post`]. A document that does not exist is never created.
    pub async fn put(
        &self,
        resource: ResourceIx,
        id: Uuid,
        body: &[u8],
        when: &Preconditions,
    ) -> Result<Written, WriteError> {
        self.upsert(resource, Some(id), body, when).await
    }

    /// Deletes the document with this id, unless another refers to it.
    ///
    /// # Errors
    /// See [`WriteError`] and [`Writer::post`].
    pub async fn delete(&self, resource: ResourceIx, id: Uuid, when: &Preconditions) -> Result<Written, WriteError> {
        let delete = Delete {
            database: &self.database,
            mapping: &self.mapping,
            resource: self.mapping.resource(resource),
            uuid: id,
            preconditions: when,
        };
        with_retry(&self.retry, "delete", |_| Box::pin(delete.attempt())).await.map_err(final_error)
    }

    async fn upsert(
        &self,
        resource: ResourceIx,
        route: Option<Uuid>,
        body: &[u8],
        when: &Preconditions,
    ) -> Result<Written, WriteError> {
        let id = route.map_or(IdRule::Absent, IdRule::Equal);
        let flat = self.bodies.read(resource, body, id).await?;
        if let Some(lanes) = &self.lanes {
            return lanes.write(resource, flat, route, when.clone(), body.len()).await;
        }
        let resource = self.mapping.resource(resource);
        let upsert = Upsert(UpsertRequest {
            database: &self.database,
            mapping: &self.mapping,
            options: &self.options,
            resource,
            flat: &flat,
            route,
            preconditions: when,
        });
        upsert.run(&self.retry).await
    }
}
