//! Which metric each number of the status is.

use super::leaves::Leaf;
use serde_json::Value;

/// How a leaf becomes a metric.
pub(crate) enum Shape {
    /// The same number; true is 1. What is not there is not counted.
    Same(&'static str),
    /// A time that goes on: it may differ by a few seconds.
    Clock(&'static str),
    /// A time to go; what never ends is infinite.
    Eta(&'static str),
    /// A moment; 0 if there was none.
    Moment(&'static str),
    /// 1 if there is a text.
    Told(&'static str),
    /// 1 if the text is this one.
    Is(&'static str, &'static str),
    /// A label of a series that is 1.
    Label(&'static str, &'static str),
}

use Shape::{Clock, Eta, Is, Label, Moment, Same, Told};

impl Shape {
    pub(crate) const fn metric(&self) -> &'static str {
        match self {
            Same(name) | Clock(name) | Eta(name) | Moment(name) | Told(name) | Is(_, name) | Label(_, name) => name,
        }
    }

    /// What the metric has to be; none if nothing has to be.
    pub(crate) fn expected(&self, value: &Value) -> Option<f64> {
        let number = value.as_f64().or_else(|| value.as_bool().map(|is| f64::from(u8::from(is))));
        match self {
            Same(_) | Clock(_) => number,
            Eta(_) => Some(number.unwrap_or(f64::INFINITY)),
            Moment(_) => Some(number.unwrap_or(0.0)),
            Told(_) => Some(f64::from(u8::from(value.is_string()))),
            Is(text, _) => Some(f64::from(u8::from(value == text))),
            Label(..) => Some(1.0),
        }
    }

    pub(crate) const fn tolerance(&self) -> f64 {
        match self {
            Clock(_) => 10_000.0,
            _ => 0.0,
        }
    }

    /// The labels that the series has to have.
    pub(crate) fn labels(&self, leaf: &Leaf) -> Vec<String> {
        if let Label(label, _) = self {
            return vec![format!("{label}=\"{}\"", leaf.value)];
        }
        let replayed = leaf.pattern.contains("replay/");
        match &leaf.lane {
            Some(lane) if replayed => vec![format!("target=\"{lane}\"")],
            Some(lane) => vec![format!("lane=\"{lane}\"")],
            None if replayed => vec!["target=\"cache\"".to_owned()],
            None => Vec::new(),
        }
    }
}

/// In the status only after the projector met trouble.
pub(crate) const TROUBLE: &str = "projector/last_error/at_ms";

/// Every number and every yes or no of a status.
pub(crate) const TABLE: &[(&str, Shape)] = &[
    ("pid", Label("pid", "millstream_process_info")),
    ("uptime_ms", Clock("millstream_process_uptime_ms")),
    ("database/managed", Same("millstream_database_managed")),
    ("database/connections", Same("millstream_database_connections")),
    ("database/connections_max", Same("millstream_database_connections_max")),
    ("database/connections_idle", Same("millstream_database_connections_idle")),
    ("database/waiting", Same("millstream_database_waiting")),
    ("database/newest_version", Same("millstream_database_newest_version")),
    ("projector/source/connected", Same("millstream_intake_connected")),
    ("projector/source/reconnects", Same("millstream_intake_reconnects_total")),
    ("projector/source/failures", Same("millstream_intake_source_failures_total")),
    ("projector/source/lag", Same("millstream_intake_lag")),
    ("projector/source/behind_ms", Same("millstream_intake_behind_ms")),
    ("projector/source/eta_ms", Eta("millstream_intake_eta_ms")),
    ("projector/source/changes", Same("millstream_intake_changes_total")),
    ("projector/source/changes_per_s", Same("millstream_intake_changes_per_s")),
    ("projector/source/last_error", Told("millstream_intake_failing")),
    ("projector/queue/depth", Same("millstream_queue_depth")),
    ("projector/queue/touches", Same("millstream_queue_touches")),
    ("projector/queue/in_flight", Same("millstream_queue_in_flight")),
    ("projector/queue/delayed", Same("millstream_queue_delayed")),
    ("projector/queue/quarantined", Same("millstream_queue_quarantined")),
    ("projector/queue/unreadable", Same("millstream_queue_unreadable")),
    ("projector/queue/oldest_age_ms", Same("millstream_queue_oldest_age_ms")),
    ("projector/queue/disk_bytes", Same("millstream_queue_disk_bytes")),
    ("projector/queue/eta_ms", Eta("millstream_queue_eta_ms")),
    ("projector/rebuild/stored", Same("millstream_rebuild_stored_total")),
    ("projector/rebuild/stored_per_s", Same("millstream_rebuild_stored_per_s")),
    ("projector/rebuild/version", Same("millstream_rebuild_version")),
    ("projector/rebuild/workers", Same("millstream_rebuild_workers")),
    ("projector/rebuild/repaired", Same("millstream_rebuild_repaired_total")),
    ("projector/rebuild/superseded", Same("millstream_rebuild_superseded_total")),
    ("projector/rebuild/gone", Same("millstream_rebuild_gone_total")),
    ("projector/rebuild/awaits_stamp", Same("millstream_rebuild_awaits_stamp_total")),
    ("projector/rebuild/held", Same("millstream_rebuild_held_total")),
    ("projector/rebuild/contradicted", Same("millstream_rebuild_contradicted_total")),
    ("projector/rebuild/holds", Same("millstream_rebuild_holds")),
    ("projector/rebuild/alarms", Same("millstream_rebuild_alarms_total")),
    ("projector/rebuild/failures", Same("millstream_rebuild_failures_total")),
    ("projector/rebuild/quarantines", Same("millstream_rebuild_quarantines_total")),
    ("projector/cascade/open", Same("millstream_cascade_open")),
    ("projector/cascade/oldest_age_ms", Same("millstream_cascade_oldest_age_ms")),
    ("projector/cascade/pages", Same("millstream_cascade_pages_total")),
    ("projector/cascade/stamped", Same("millstream_cascade_stamped_total")),
    ("projector/cascade/stamped_per_s", Same("millstream_cascade_stamped_per_s")),
    ("projector/cascade/workers", Same("millstream_cascade_workers")),
    ("projector/cascade/finished", Same("millstream_cascade_finished_total")),
    ("projector/cascade/failures", Same("millstream_cascade_failures_total")),
    ("projector/resync/running", Same("millstream_resync_running")),
    ("projector/resync/compared", Same("millstream_resync_compared_total")),
    ("projector/resync/enqueued", Same("millstream_resync_enqueued_total")),
    ("projector/fatal", Told("millstream_projector_fatal")),
    ("projector/last_error", Moment("millstream_projector_last_error_at_ms")),
    (TROUBLE, Moment("millstream_projector_last_error_at_ms")),
    ("replay/state", Is("running", "millstream_replay_running")),
    ("replay/done", Same("millstream_replay_done")),
    ("replay/total", Same("millstream_replay_expected")),
    ("replay/started_at_ms", Same("millstream_replay_started_at_ms")),
    ("replay/ended_at_ms", Moment("millstream_replay_ended_at_ms")),
    ("lanes/*/depth", Same("millstream_lane_depth")),
    ("lanes/*/in_flight", Same("millstream_lane_in_flight")),
    ("lanes/*/delayed", Same("millstream_lane_delayed")),
    ("lanes/*/quarantined", Same("millstream_lane_quarantined")),
    ("lanes/*/unreadable", Same("millstream_lane_unreadable")),
    ("lanes/*/oldest_age_ms", Same("millstream_lane_oldest_age_ms")),
    ("lanes/*/delivered", Same("millstream_lane_delivered_total")),
    ("lanes/*/delivered_per_s", Same("millstream_lane_delivered_per_s")),
    ("lanes/*/version", Same("millstream_lane_version")),
    ("lanes/*/superseded", Same("millstream_lane_superseded_total")),
    ("lanes/*/retried", Same("millstream_lane_retried_total")),
    ("lanes/*/rejected", Same("millstream_lane_rejected_total")),
    ("lanes/*/concurrency", Same("millstream_lane_concurrency")),
    ("lanes/*/requests", Same("millstream_lane_requests")),
    ("lanes/*/eta_ms", Eta("millstream_lane_eta_ms")),
    ("lanes/*/last_error", Moment("millstream_lane_last_error_at_ms")),
    ("lanes/*/last_error/at_ms", Moment("millstream_lane_last_error_at_ms")),
    ("lanes/*/fatal", Told("millstream_lane_fatal")),
    ("lanes/*/paused", Same("millstream_lane_paused")),
    ("lanes/*/replay/state", Is("running", "millstream_replay_running")),
    ("lanes/*/replay/done", Same("millstream_replay_done")),
    ("lanes/*/replay/total", Same("millstream_replay_expected")),
    ("lanes/*/replay/started_at_ms", Same("millstream_replay_started_at_ms")),
    ("lanes/*/replay/ended_at_ms", Moment("millstream_replay_ended_at_ms")),
];
