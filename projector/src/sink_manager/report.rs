//! The part of `status` about one lane.

use crate::delivery::counters::LaneReport;
use crate::replay::job::{Job, JobState};
use serde::Serialize;

/// The status of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneStatus {
    /// Its counters.
    #[serde(flatten)]
    pub report: LaneReport,
    /// The lane hands out no entries until it is resumed.
    pub paused: bool,
    /// The last replay into it, if any.
    pub replay: Option<ReplayReport>,
}

impl LaneStatus {
    /// Returns the status of a removed lane, which is empty: its metrics must not keep their last values.
    pub(super) fn removed(name: &str) -> Self {
        let report = LaneReport { name: name.to_owned(), eta_ms: Some(0), ..LaneReport::default() };
        let replay = ReplayReport {
            state: JobState::Cancelled,
            done: 0,
            total: 0,
            started_at_ms: 0,
            ended_at_ms: None,
            last_error: None,
        };
        Self { report, paused: false, replay: Some(replay) }
    }
}

/// The status of one replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Its state.
    pub state: JobState,
    /// Entries enqueued.
    pub done: u64,
    /// All entries, as counted at its start.
    pub total: u64,
    /// Start, in milliseconds since 1970 UTC.
    pub started_at_ms: u64,
    /// End, in milliseconds since 1970 UTC.
    pub ended_at_ms: Option<u64>,
    /// The last error.
    pub last_error: Option<String>,
}

impl From<&Job> for ReplayReport {
    fn from(job: &Job) -> Self {
        Self {
            state: job.state,
            done: job.done,
            total: job.total,
            started_at_ms: job.started_at_ms,
            ended_at_ms: job.ended_at_ms,
            last_error: job.last_error.clone(),
        }
    }
}
