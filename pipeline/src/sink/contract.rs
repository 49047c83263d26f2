//! The contract of a sink.

use super::delivery::{Content, Delivery, DocumentKey, Outcome};
use super::error::SinkError;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::time::Duration;
use uuid::Uuid;

/// A copy of all documents.
///
/// Every method may be called from any task. Several `put` calls may run at the same time, never two with one document.
///
/// ```
/// use millstream_pipeline::sink::{Content, Delivery, DocumentKey, MemorySink, Outcome, Sink, SinkError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), SinkError> {
/// let sink = MemorySink::default();
/// sink.prepare().await?;
///
/// let key = DocumentKey { uuid: uuid::Uuid::from_u128(1), resource_key: 5 };
/// let newer = Delivery { key, version: 7, content: Content::Document("{}".into()), repair: false };
/// let older = Delivery { version: 6, ..newer.clone() };
/// assert_eq!(sink.put(&[newer]).await, [Outcome::Done]);
/// assert_eq!(sink.put(&[older]).await, [Outcome::Superseded]);
/// assert_eq!(sink.fetch(&[key]).await?, [Some("{}".into())]);
/// # Ok(())
/// # }
/// ```
pub trait Sink: Send + Sync + 'static {
    /// Names the sink and its place for messages, without secrets: `topic ed-fi.documents.v1 at 127.0.0.1:9092`.
    fn describe(&self) -> String;

    /// Creates what the sink needs (a topic, a template), or checks it and reports every difference. Idempotent. Called
    /// before the first `put`, and again after the sink was unreachable or did not respond.
    fn prepare(&self) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Returns the limits of one `put`, and how long the sink remembers deletes.
    fn limits(&self) -> Limits;

    /// Delivers documents, each at most once per call, and returns one outcome per delivery in the same order.
    ///
    /// A response that is missing, truncated or late is [`Outcome::Retry`] for exactly the deliveries that it left
    /// open: never a guess, never the whole batch. [`Outcome::Done`] means that the copy would survive a crash of the
    /// sink.
    fn put<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Vec<Outcome>>;

    /// Keeps alive what would lapse without deliveries. Called periodically while there is nothing to deliver; after an
    /// error the sink is prepared again.
    fn tend(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Returns the sink's copies of these documents, in the same order; `None` for a document that the sink does not
    /// hold or holds as deleted.
    fn fetch<'a>(&'a self, keys: &'a [DocumentKey]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, SinkError>>;

    /// Reads everything that the sink holds, as of the start of the scan or later, in bounded memory.
    fn scan(&self) -> BoxFuture<'_, Result<Box<dyn Scan>, SinkError>>;
}

/// A scan over everything that a sink holds.
pub trait Scan: Send {
    /// Returns the next few copies; an empty list ends the scan. Where a document can come more than once, copies come
    /// in the order in which they were written and the last one counts.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Held>, SinkError>>;
}

/// The limits of one `put`, and how long the sink remembers deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Documents per `put`.
    pub batch_documents_max: usize,
    /// Bytes of the bodies per `put`; a single larger document goes alone.
    pub batch_bytes_max: usize,
    /// `put` calls in flight at the same time.
    pub in_flight_max: usize,
    /// The time for which a request without a response may still be carried out.
    pub request_life_max: Duration,
    /// The time for which the sink remembers the version of a deleted document.
    pub delete_memory: Duration,
    /// The sink itself compares the version of a `put` with the one that it holds. A log cannot: one writer, which
    /// fences its predecessor, writes each document's versions in order.
    pub guards_versions: bool,
}

/// A sink's copy of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The document's public id.
    pub uuid: Uuid,
    /// The version of the copy; `None` where a sink stores none for deletes.
    pub version: Option<i64>,
    /// The document's type, where the sink stores it. A copy of a document that should not exist is deleted under its
    /// type, which may be stored nowhere else.
    pub resource_key: Option<i16>,
    /// The content that the sink's readers see.
    pub content: Content,
}
