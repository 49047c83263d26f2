//! Setting the gauges of a status: the numbers that are not counted where they occur ([`crate::counters`]).

use super as names;
use crate::counters::gauge_of;
use crate::replay::job::JobState;
use crate::sink_manager::report::{LaneStatus, ReplayReport};
use crate::status::{ErrorReport, ProjectorStatus};
use metrics::gauge;

/// Sets the gauges of the projector, except those that its counters set.
pub(crate) fn projector(status: &ProjectorStatus) {
    let queue = &status.queue;
    gauge!(names::QUEUE_DEPTH).set(queue.depth as f64);
    gauge!(names::QUEUE_TOUCHES).set(queue.touches as f64);
    gauge!(names::QUEUE_IN_FLIGHT).set(queue.in_flight as f64);
    gauge!(names::QUEUE_DELAYED).set(queue.delayed as f64);
    gauge!(names::QUEUE_QUARANTINED).set(queue.quarantined as f64);
    gauge!(names::QUEUE_UNREADABLE).set(queue.unreadable as f64);
    gauge!(names::QUEUE_OLDEST_AGE_MS).set(queue.oldest_age_ms as f64);
    gauge!(names::QUEUE_DISK_BYTES).set(queue.disk_bytes as f64);
    gauge!(names::QUEUE_ETA_MS).set(gauge_of(queue.eta_ms));
    gauge!(names::INTAKE_FAILING).set(flag(status.source.last_error.is_some()));
    gauge!(names::REBUILD_WORKERS).set(status.rebuild.workers as f64);
    gauge!(names::CASCADE_WORKERS).set(status.cascade.workers as f64);
    gauge!(names::PROJECTOR_LAST_ERROR_AT_MS).set(time_of(status.last_error.as_ref()));
    gauge!(names::PROJECTOR_FATAL).set(flag(status.fatal.is_some()));
}

/// Sets the gauges of a lane.
pub(crate) fn lane(status: &LaneStatus) {
    let report = &status.report;
    let set = |name: &'static str, value: f64| gauge!(name, "lane" => report.name.clone()).set(value);
    set(names::LANE_DEPTH, report.depth as f64);
    set(names::LANE_IN_FLIGHT, report.in_flight as f64);
    set(names::LANE_DELAYED, report.delayed as f64);
    set(names::LANE_QUARANTINED, report.quarantined as f64);
    set(names::LANE_UNREADABLE, report.unreadable as f64);
    set(names::LANE_OLDEST_AGE_MS, report.oldest_age_ms as f64);
    set(names::LANE_ETA_MS, gauge_of(report.eta_ms));
    set(names::LANE_VERSION, report.version as f64);
    set(names::LANE_DELIVERED_PER_S, report.delivered_per_s as f64);
    set(names::LANE_CONCURRENCY, report.concurrency as f64);
    set(names::LANE_REQUESTS, report.requests as f64);
    set(names::LANE_PAUSED, flag(status.paused));
    set(names::LANE_FATAL, flag(report.fatal.is_some()));
    set(names::LANE_LAST_ERROR_AT_MS, time_of(report.last_error.as_ref()));
    if let Some(replay) = &status.replay {
        replay.export(&report.name);
    }
}

impl ReplayReport {
    /// Sets the gauges of the replay to `target`: `cache`, or the name of a lane. Those of lanes are set with their
    /// lane.
    pub fn export(&self, target: &str) {
        let set = |name: &'static str, value: f64| gauge!(name, "target" => target.to_owned()).set(value);
        set(names::REPLAY_RUNNING, flag(self.state == JobState::Running));
        set(names::REPLAY_FAILED, flag(self.state == JobState::Failed));
        set(names::REPLAY_DONE, self.done as f64);
        set(names::REPLAY_EXPECTED, self.total as f64);
        set(names::REPLAY_STARTED_AT_MS, self.started_at_ms as f64);
        set(names::REPLAY_ENDED_AT_MS, self.ended_at_ms.unwrap_or(0) as f64);
    }
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

fn time_of(error: Option<&ErrorReport>) -> f64 {
    error.map_or(0.0, |error| error.at_ms as f64)
}
