//! The repairs that the watchdog asks for.

use futures::future::BoxFuture;
use uuid::Uuid;

/// Repairs derived rows and cached bodies of documents. The projector does not write documents, so another crate does.
pub trait RepairDocuments: Send + Sync {
    /// Repairs these documents; their bodies are at least enqueued.
    fn repair<'a>(
        &'a self,
        documents: &'a [Uuid],
    ) -> BoxFuture<'a, Result<(), Box<dyn std::error::Error + Send + Sync>>>;
}
