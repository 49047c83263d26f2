//! A write that waits for its batch.

use crate::body::FlatDocument;
use crate::error::WriteError;
use crate::request::{Preconditions, Written};
use crate::upsert_request::UpsertRequest;
use millstream_schema::plan::{Mapping, ResourceIx};
use millstream_store::connect::Database;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use crate::options::WriterOptions;

/// The way back to a caller.
pub(crate) type Reply = oneshot::Sender<Result<Written, WriteError>>;

/// A POST or PUT, read and validated, and the caller that waits for its answer.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) resource: ResourceIx,
    pub(crate) flat: FlatDocument,
    /// The route's id: PUT. None: POST.
    pub(crate) route: Option<Uuid>,
    pub(crate) preconditions: Preconditions,
    /// Size of the body.
    pub(crate) bytes: usize,
    pub(crate) received: Instant,
    /// None when it is answered.
    pub(crate) reply: Mutex<Option<Reply>>,
    /// Its part of what may wait.
    pub(crate) _queued: OwnedSemaphorePermit,
}

impl Entry {
    /// The identity and the id of its document: two entries with a key in common are never in progress together.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Uuid> {
        std::iter::once(self.flat.referential_id).chain(self.route)
    }

    /// The request, for a transaction on `database`.
    pub(crate) fn request<'a>(
        &'a self,
        database: &'a Database,
        mapping: &'a Mapping,
        options: &'a WriterOptions,
    ) -> UpsertRequest<'a> {
        UpsertRequest {
            database,
            mapping,
            options,
            resource: mapping.resource(self.resource),
            flat: &self.flat,
            route: self.route,
            preconditions: &self.preconditions,
        }
    }

    /// Gives the caller its answer, once. If it is gone, the log says what became of the write.
    pub(crate) fn answer(&self, answer: Result<Written, WriteError>) {
        let Some(reply) = self.reply().take() else { return };
        match reply.send(answer) {
            Ok(()) => {}
            Err(Ok(Written { outcome, uuid, version })) => {
                tracing::info!(%uuid, version, ?outcome, "the client was gone when its write was committed");
            }
            Err(Err(error)) => tracing::info!(%error, "the client was gone when its write was refused"),
        }
    }

    /// Whether the caller has its answer.
    pub(crate) fn is_answered(&self) -> bool {
        self.reply().is_none()
    }

    /// Whether the caller has stopped waiting.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply().as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn reply(&self) -> std::sync::MutexGuard<'_, Option<Reply>> {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
