//! Every number of a status as a metric: those that are not counted where they happen ([`crate::counters`]) are published
//! here, each time that a status is made.

use crate::counters::gauge_of;
use crate::metrics as names;
use crate::replay::JobState;
use crate::sink_manager::{LaneStatus, ReplayReport};
use crate::status::{ErrorReport, ProjectorStatus};
use metrics::gauge;

/// What is not counted where it happens.
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
    gauge!(names::PROJECTOR_LAST_ERROR_AT_MS).set(moment(status.last_error.as_ref()));
    gauge!(names::PROJECTOR_FATAL).set(flag(status.fatal.is_some()));
}

/// Everything of a lane but its counters.
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
    set(names::LANE_LAST_ERROR_AT_MS, moment(report.last_error.as_ref()));
    if let Some(report) = &status.replay {
        replay(report, &status.report.name);
    }
}

/// The replay to a target: `cache`, or the name of a lane.
pub(crate) fn replay(report: &ReplayReport, target: &str) {
    let set = |name: &'static str, value: f64| gauge!(name, "target" => target.to_owned()).set(value);
    set(names::REPLAY_RUNNING, flag(report.state == JobState::Running));
    set(names::REPLAY_FAILED, flag(report.state == JobState::Failed));
    set(names::REPLAY_DONE, report.done as f64);
    set(names::REPLAY_EXPECTED, report.total as f64);
    set(names::REPLAY_STARTED_AT_MS, report.started_at_ms as f64);
    set(names::REPLAY_ENDED_AT_MS, report.ended_at_ms.unwrap_or(0) as f64);
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn moment(error: Option<&ErrorReport>) -> f64 {
    error.map_or(0.0, |error| error.at_ms as f64)
}
