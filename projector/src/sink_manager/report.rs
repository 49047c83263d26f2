//! What `status` says of one lane.

use crate::delivery::LaneReport;
use crate::publish;
use crate::replay::{Job, JobState};
use serde::Serialize;

/// How one lane is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneStatus {
    /// Its figures.
    #[serde(flatten)]
    pub report: LaneReport,
    /// It hands out nothing until it is resumed.
    pub paused: bool,
    /// The last replay into it, if any.
    pub replay: Option<ReplayReport>,
}

impl LaneStatus {
    /// A lane that is gone is empty: what its metrics said last must not stand for ever.
    pub(super) fn forget(name: &str) {
        let report = LaneReport { name: name.to_owned(), eta_ms: Some(0), ..LaneReport::default() };
        let replay = ReplayReport {
            state: JobState::Cancelled,
            done: 0,
            total: 0,
            started_at_ms: 0,
            ended_at_ms: None,
            last_error: None,
        };
        publish::lane(&Self { report, paused: false, replay: Some(replay) });
    }
}

/// How one replay is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayReport {
    /// Whether it runs or how it ended.
    pub state: JobState,
    /// Entries put.
    pub done: u64,
    /// Entries in all, as counted at its start.
    pub total: u64,
    /// When it was started, in milliseconds since 1970 UTC.
    pub started_at_ms: u64,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl ReplayReport {
    /// Publishes its numbers as metrics under the name of its target. Those of lanes are published with their lane.
    pub fn publish(&self, target: &str) {
        publish::replay(self, target);
    }
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
