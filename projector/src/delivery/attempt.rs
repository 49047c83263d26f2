//! The result of one round: each entry with the sink's outcome for it.

use crate::error::ProjectorError;
use millstream_pipeline::queue::Taken;
use millstream_pipeline::sink::{Outcome, RetryCause};

/// One entry after an attempt to deliver it.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) taken: Taken,
    pub(super) result: AttemptResult,
    /// Number of documents in its group, itself included.
    pub(super) group_size: usize,
}

/// The result of an attempt.
#[derive(Debug)]
pub(super) enum AttemptResult {
    /// The sink returned an outcome.
    Answered {
        /// The delivery was a delete.
        deleted: bool,
        /// Size of its body.
        bytes: usize,
        outcome: Outcome,
    },
    /// The document is neither cached nor deleted yet.
    Uncached,
    /// The database could not be read.
    Unread,
}

/// A batch after an attempt to deliver it.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) attempts: Vec<Attempt>,
    /// The database failure, if there was one.
    pub(super) outage: Option<ProjectorError>,
}

impl Round {
    /// Whether any document has to be retried for this cause.
    pub(super) fn has_retry(&self, wanted: RetryCause) -> bool {
        self.attempts.iter().any(|attempt| {
            matches!(&attempt.result, AttemptResult::Answered { outcome: Outcome::Retry { cause, .. }, .. } if *cause == wanted)
        })
    }

    /// Whether the sink processed any document, also if it rejected it.
    pub(super) fn has_answer(&self) -> bool {
        self.attempts.iter().any(|attempt| match &attempt.result {
            AttemptResult::Answered { outcome: Outcome::Retry { cause, .. }, .. } => *cause == RetryCause::Failed,
            AttemptResult::Answered { .. } => true,
            AttemptResult::Uncached | AttemptResult::Unread => false,
        })
    }

    /// Returns the last error that the sink reported.
    pub(super) fn sink_error(&self) -> Option<&str> {
        self.attempts.iter().rev().find_map(|attempt| match &attempt.result {
            AttemptResult::Answered {
                outcome: Outcome::Retry { reason, .. } | Outcome::Rejected { reason }, ..
            } => Some(reason.as_str()),
            _ => None,
        })
    }
}
