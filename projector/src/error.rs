//! What can go wrong here, and which of it is one document's own fault.

use millstream_outbox::OutboxError;
use millstream_pipeline::queue::QueueError;
use millstream_pipeline::source::SourceError;
use millstream_store::error::StoreError;
use millstream_store::retry::{RetryError, Retryable};

/// A failure of a step of the projector.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The database refused or did not answer.
    #[error("{action} failed")]
    Database {
        /// What was being done.
        action: &'static str,
        /// What the database said.
        source: StoreError,
    },
    /// The outbox table holds or took something that it should not.
    #[error("{action} failed")]
    Outbox {
        /// What was being done.
        action: &'static str,
        /// What is wrong with it.
        source: OutboxError,
    },
    /// The durable queue failed. It accepts nothing more: the process has to be started again.
    #[error("{action} failed: restart the process, which goes on from what was durable")]
    Queue {
        /// What was being done.
        action: &'static str,
        /// What the queue said.
        source: QueueError,
    },
    /// The source of changes could not say how far it has to be followed.
    #[error("{action} failed")]
    Source {
        /// What was being done.
        action: &'static str,
        /// What the source said.
        source: SourceError,
    },
    /// The queue holds work of another database, or of the history of this one before a restore or a failover.
    #[error(
        "the queue does not belong to this database, or the database was restored or failed over since: start with an \
         empty queue (another queue.dir, or queue.topic_prefix with the queue in Kafka); all documents are then compared \
         with the cache. After a restore to an earlier state the copies have to be new as well: docs/how-to/restore-a-database.md"
    )]
    ForeignQueue,
}

impl ProjectorError {
    /// Whether the durable queue is broken for good, not merely out of reach.
    pub(crate) const fn is_fatal_queue(&self) -> bool {
        matches!(self, Self::Queue { source, .. } if !matches!(source, QueueError::Unavailable { .. }))
    }

    /// For `map_err`: a database failure while doing `action`.
    pub(crate) fn database<E: Into<StoreError>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Database { action, source: source.into() }
    }

    /// For `map_err`: a failure of the outbox while doing `action`.
    pub(crate) fn outbox(action: &'static str) -> impl FnOnce(OutboxError) -> Self {
        move |source| match source {
            OutboxError::Database { source, .. } => Self::Database { action, source },
            source => Self::Outbox { action, source },
        }
    }

    /// For `map_err`: a failure of the source of changes while doing `action`.
    pub(crate) fn source(action: &'static str) -> impl FnOnce(SourceError) -> Self {
        move |source| Self::Source { action, source }
    }

    /// For `map_err`: a failure of the queue while doing `action`.
    pub(crate) fn queue(action: &'static str) -> impl FnOnce(QueueError) -> Self {
        move |source| Self::Queue { action, source }
    }
}

impl Retryable for ProjectorError {
    fn retry_reason(&self) -> Option<&'static str> {
        match self {
            Self::Database { source, .. } => source.retry_reason(),
            _ => None,
        }
    }
}

impl From<RetryError<ProjectorError>> for ProjectorError {
    fn from(error: RetryError<ProjectorError>) -> Self {
        error.into_last()
    }
}

/// An error and everything that caused it, on one line: for logs and for `status`, where errors end.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}
