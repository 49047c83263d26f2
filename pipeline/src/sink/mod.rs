//! What a sink is: a copy of all documents outside the database, which is to be what the cache is (CONVERGE).
//!
//! The projector owns this contract and knows no sink; implementations live in `connectors`. Each is held to the suite in
//! `conformance`, and so is `MemorySink`, its plainest form.
//!
//! Everything is guarded by versions. A sink that holds version 7 of a document answers a `put` of version 6 with
//! [`Outcome::Superseded`], and a delete is a version like any other: so every retry is harmless, in any order, for as long
//! as the sink remembers deletes. What it has forgotten, the ledger of tombstones answers before a `put` is made.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod generations;
#[cfg(any(test, feature = "conformance"))]
mod memory;

#[cfg(any(test, feature = "conformance"))]
pub use memory::MemorySink;

use bytes::Bytes;
use futures::future::BoxFuture;
use std::time::Duration;
use uuid::Uuid;

/// A copy of all documents.
///
/// All of it may be called from any task; several `put` may be under way at the same time, never two with one document.
pub trait Sink: Send + Sync + 'static {
    /// What it is and where, without secrets, for messages: `topic ed-fi.documents.v1 at 127.0.0.1:9092`.
    fn describe(&self) -> String;

    /// Makes what the sink needs (a topic, a template) or checks it, every difference named. Idempotent. Called before the
    /// first `put`, and again whenever nothing could be reached, or nothing was answered.
    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>>;

    /// What one `put` may carry, and what the sink forgets.
    fn limits(&self) -> Limits;

    /// Delivers documents, no two of them the same document, and answers for each, in their order.
    ///
    /// An answer that is missing, cut off or late is [`Outcome::Retry`] for exactly those that were not answered: never a
    /// guess, never the whole batch. [`Outcome::Done`] means that the copy would survive a crash of the sink.
    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>>;

    /// Keeps alive what would lapse without deliveries. Called now and then while there is nothing to deliver; after an
    /// error the sink is prepared again.
    fn tend(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// What the sink holds of these documents, in their order; `None` for what it does not hold or holds as deleted.
    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>>;

    /// Reads everything that the sink holds, as it was when the scan began or later, in bounded memory.
    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>>;
}

/// A walk over everything that a sink holds.
pub trait Scan: Send {
    /// The next few, in the order in which they were written where a document can come more than once: the last one
    /// counts. Empty at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Held>, SinkError>>;
}

/// A document as sinks know it. Never its DocumentId, which means nothing outside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    /// The public id.
    pub uuid: Uuid,
    /// `ResourceKeyId` of its type.
    pub resource_key: i16,
}

/// One version of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which document.
    pub key: DocumentKey,
    /// Its ContentVersion, which only grows, deletes included.
    pub version: i64,
    /// What it is at this version.
    pub content: Content,
    /// The sink may hold other bytes at this very version: they are damaged and to be overwritten.
    pub repair: bool,
}

/// What a document is at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes of a GET: the body with `id`, `_etag` and `_lastModifiedDate`.
    Document(Bytes),
    /// It was deleted.
    Deleted,
}

impl Delivery {
    /// Bytes of the document; none for a delete.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Document(json) => json.len(),
            Content::Deleted => 0,
        }
    }
}

/// What became of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The sink holds exactly this.
    Done,
    /// The sink holds something newer, or this very version already.
    Superseded,
    /// It is not known to be there: to be put again.
    Retry {
        /// Whose fault it is.
        cause: RetryCause,
        /// What happened, for the operator.
        reason: String,
    },
    /// The sink refuses this document, and would again.
    Rejected {
        /// What the sink said, for the operator.
        reason: String,
    },
}

impl Outcome {
    /// To be put again.
    pub fn retry(cause: RetryCause, reason: impl Into<String>) -> Self {
        Self::Retry { cause, reason: reason.into() }
    }
}

/// Why something has to be put again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryCause {
    /// The sink asked for less (429, 503, a full queue). Counts no attempt; fewer requests at a time from now on.
    Throttled,
    /// Nothing could be reached. Counts no attempt: no document is to blame.
    Unavailable,
    /// The request was sent and its answer did not come, or not whole: it may be carried out still, for as long as
    /// [`Limits::request_life_max`].
    Unanswered,
    /// This document failed in a way that may pass. Counts an attempt.
    Failed,
}

/// What one `put` may carry, and what the sink forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Documents.
    pub batch_documents_max: usize,
    /// Bytes of their bodies; a single larger document goes alone.
    pub batch_bytes_max: usize,
    /// `put`s under way at the same time.
    pub in_flight_max: usize,
    /// How long a request whose answer did not come may still be carried out.
    pub request_life_max: Duration,
    /// How long the sink remembers the version of a deleted document.
    pub delete_memory: Duration,
    /// Whether the sink itself holds a `put` against the version that it has. A log does not: it is written to in the order
    /// of the versions of each document, by one writer that fences the one before it.
    pub guards_versions: bool,
}

/// What a sink holds of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The public id.
    pub uuid: Uuid,
    /// The version that it is held under; `None` where a sink keeps none for deletes.
    pub version: Option<i64>,
    /// Its type, where the sink keeps that with the document: what is not to be there has to be deleted under its type, and
    /// nobody else may remember it.
    pub resource_key: Option<i16>,
    /// What the sink would hand to its readers.
    pub content: Content,
}

/// Why a sink cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It cannot be reached now: try again.
    #[error("{sink} cannot be reached: {reason}")]
    Unavailable {
        /// [`Sink::describe`].
        sink: String,
        /// What happened.
        reason: String,
    },
    /// It is not what it has to be, and somebody has to change that.
    #[error("{sink} is not set up as it has to be: {}", differences.join("; "))]
    Unfit {
        /// [`Sink::describe`].
        sink: String,
        /// Every difference, with what to do.
        differences: Vec<String>,
    },
    /// It holds or answers something that cannot be.
    #[error("{sink} answered what cannot be: {reason}")]
    Broken {
        /// [`Sink::describe`].
        sink: String,
        /// What.
        reason: String,
    },
}
