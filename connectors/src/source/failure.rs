//! The outcome of an error for a source: retry, or stop until an operator acts.

use millstream_pipeline::source::SourceError;

/// A failure, classified.
#[derive(Debug)]
pub(crate) enum SourceFailure {
    /// A retry may succeed. Holds the reason, for the log and the status.
    Retry(String),
    /// A retry cannot succeed: an operator has to act.
    Stop(SourceError),
}

#[cfg(any(feature = "replication", feature = "kafka"))]
impl SourceFailure {
    /// Returns the error of a single attempt at `what`, which leaves retries to its caller.
    pub(crate) fn into_error(self, what: &str) -> SourceError {
        match self {
            Self::Stop(error) => error,
            Self::Retry(detail) => SourceError::Refused { what: what.to_owned(), detail },
        }
    }
}
