//! The options of batching, and what all lanes of a writer share.

use crate::options::WriterOptions;
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use millstream_store::retry::RetryPolicy;
use std::sync::Arc;

/// How writes share transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// `writer.lanes`: transactions at a time, each with a session of its own.
    pub lanes: usize,
    /// `writer.batch_max`: documents of one transaction.
    pub documents_max: usize,
    /// `writer.batch_max_bytes`: bytes of the bodies of one transaction. One document always fits.
    pub bytes_max: usize,
    /// `writer.queue_max_bytes`: bytes of the bodies that wait for a transaction or are in one, in all lanes together.
    /// Further writes are refused ([`QueueFull`](crate::WriteError::QueueFull)).
    pub queue_bytes_max: usize,
}

impl Default for BatchOptions {
    /// Two lanes of at most 256 documents or 4 MiB; 64 MiB wait.
    fn default() -> Self {
        Self { lanes: 2, documents_max: 256, bytes_max: 4 << 20, queue_bytes_max: 64 << 20 }
    }
}

/// The database and the options of all lanes of a writer.
#[derive(Debug)]
pub(super) struct Context {
    /// One session for each lane.
    pub(super) lanes: Database,
    /// The sessions of the single path.
    pub(super) singles: Database,
    pub(super) mapping: Arc<Mapping>,
    pub(super) options: WriterOptions,
    pub(super) batching: BatchOptions,
    pub(super) retry: RetryPolicy,
}
