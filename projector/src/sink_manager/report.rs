//! The measurements of one lane and its replay.

use crate::delivery::counters::LaneReport;
use crate::replay::job::{Job, JobState};

/// The status of one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// Counters of the lane.
    pub report: LaneReport,
    /// Whether the lane is paused. A paused lane does not hand out entries.
    pub paused: bool,
    /// The last replay into the lane, if any.
    pub replay: Option<ReplayReport>,
}

impl LaneStatus {
    /// Returns an all-zero status for a removed lane, so that its metrics do not keep their last values.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayReport {
    /// State of the replay.
    pub state: JobState,
    /// Entries enqueued.
    pub done: u64,
    /// Entries to enqueue, as counted at the start.
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
