//! Errors of the projector, and the text that logs and `status` show of them.

use millstream_outbox::OutboxError;
use millstream_pipeline::queue::QueueError;
use millstream_pipeline::source::SourceError;
use millstream_store::error::StoreError;
use millstream_store::retry::{RetryError, Retryable};

/// A failure of a step of the projector.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The database refused a statement or did not answer.
    #[error("{action} failed")]
    Database {
        /// The step.
        action: &'static str,
        /// The database's error.
        source: StoreError,
    },
    /// The outbox table holds unexpected rows, or a statement on it had an unexpected effect.
    #[error("{action} failed")]
    Outbox {
        /// The step.
        action: &'static str,
        /// The outbox's error.
        source: OutboxError,
    },
    /// The durable queue failed. It accepts nothing more until the process restarts.
    #[error("{action} failed: restart the process; it resumes from the last durable position")]
    Queue {
        /// The step.
        action: &'static str,
        /// The queue's error.
        source: QueueError,
    },
    /// The source of changes could not map a position of the server's log to its stream.
    #[error("{action} failed")]
    Source {
        /// The step.
        action: &'static str,
        /// The source's error.
        source: SourceError,
    },
    /// The server at the address is a standby. It may be promoted, or the address may lead to the primary again.
    #[error("this server is a standby: waiting until the address leads to the primary, or the standby is promoted")]
    Standby,
    /// The database has no tables.
    #[error(r#"dms."EffectiveSchema" is empty: apply the schema first"#)]
    NotProvisioned,
    /// A process has found that the database lost commits, or may have.
    #[error("the database has begun history {found} (this process followed history {known}): opening the source again")]
    NewHistory {
        /// The history that was followed.
        known: i64,
        /// The current history.
        found: i64,
    },
    /// The queue holds work of another database.
    #[error(
        "the queue belongs to {expected}, but the database at this address is {found}: correct database.url, or start \
         with an empty queue (another queue.dir, or queue.topic_prefix with the queue in Kafka) and new copies: \
         docs/how-to/restore-a-database.md"
    )]
    ForeignQueue {
        /// Server and database that the queue was filled from.
        expected: String,
        /// Server and database that answered.
        found: String,
    },
}

impl ProjectorError {
    /// Whether the durable queue is broken, not merely unreachable.
    pub(crate) const fn is_fatal_queue(&self) -> bool {
        matches!(self, Self::Queue { source, .. } if !matches!(source, QueueError::Unavailable { .. }))
    }

    /// Whether the database as a whole cannot serve, whatever it is asked for.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Database { source, .. } if source.is_outage())
    }

    /// A failure of the database.
    pub(crate) fn database(action: &'static str, source: StoreError) -> Self {
        Self::Database { action, source }
    }
}

/// Adds the failed step to an error: `queue.stats().await.during("reading the queue's counters")?`.
pub(crate) trait During<T> {
    /// Converts the error into a [`ProjectorError`] of this step, named as in "{action} failed".
    fn during(self, action: &'static str) -> Result<T, ProjectorError>;
}

impl<T> During<T> for Result<T, StoreError> {
    fn during(self, action: &'static str) -> Result<T, ProjectorError> {
        self.map_err(|source| ProjectorError::database(action, source))
    }
}

impl<T> During<T> for Result<T, tokio_postgres::Error> {
    fn during(self, action: &'static str) -> Result<T, ProjectorError> {
        self.map_err(|source| ProjectorError::database(action, source.into()))
    }
}

impl<T> During<T> for Result<T, OutboxError> {
    fn during(self, action: &'static str) -> Result<T, ProjectorError> {
        self.map_err(|source| match source {
            OutboxError::Database { source, .. } => ProjectorError::database(action, source),
            source => ProjectorError::Outbox { action, source },
        })
    }
}

impl<T> During<T> for Result<T, QueueError> {
    fn during(self, action: &'static str) -> Result<T, ProjectorError> {
        self.map_err(|source| ProjectorError::Queue { action, source })
    }
}

impl<T> During<T> for Result<T, SourceError> {
    fn during(self, action: &'static str) -> Result<T, ProjectorError> {
        self.map_err(|source| ProjectorError::Source { action, source })
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
