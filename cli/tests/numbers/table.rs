//! The metric of each number in the status.

use super::status_values::StatusValue;
use serde_json::Value;

/// Relation between a value of the status and its metric.
pub(crate) enum MetricForm {
    /// The same number; `true` is 1. A missing value is not compared.
    Same(&'static str),
    /// An elapsed time: it may differ by a few seconds.
    Clock(&'static str),
    /// An estimated remaining time; infinite if there is none.
    Eta(&'static str),
    /// A point in time; 0 if there is none.
    Moment(&'static str),
    /// 1 if the text is present.
    Present(&'static str),
    /// 1 if the text has this value.
    Is(&'static str, &'static str),
    /// A label of a series whose value is 1.
    Label(&'static str, &'static str),
}

use MetricForm::{Clock, Eta, Is, Label, Moment, Present, Same};

impl MetricForm {
    pub(crate) const fn metric(&self) -> &'static str {
        match self {
            Same(name) | Clock(name) | Eta(name) | Moment(name) | Present(name) | Is(_, name) | Label(_, name) => name,
        }
    }

    /// Returns the expected value of the metric, or `None` if it is not compared.
    pub(crate) fn expected(&self, value: &Value) -> Option<f64> {
        let number = value.as_f64().or_else(|| value.as_bool().map(|is| f64::from(u8::from(is))));
        match self {
            Same(_) | Clock(_) => number,
            Eta(_) => Some(number.unwrap_or(f64::INFINITY)),
            Moment(_) => Some(number.unwrap_or(0.0)),
            Present(_) => Some(f64::from(u8::from(value.is_string()))),
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

    /// Returns the labels that the series must have.
    pub(crate) fn labels(&self, entry: &StatusValue) -> Vec<String> {
        if let Label(label, _) = self {
            return vec![format!("{label}=\"{}\"", entry.value)];
        }
        let replayed = entry.pattern.contains("replay/");
        match &entry.lane {
            Some(lane) if replayed => vec![format!("target=\"{lane}\"")],
            Some(lane) => vec![format!("lane=\"{lane}\"")],
            None if replayed => vec!["target=\"cache\"".to_owned()],
            None => Vec::new(),
        }
    }
}

/// Present in the status only after a projector error.
pub(crate) const LAST_ERROR_AT: &str = "projector/last_error/at_ms";

/// Every number and boolean of a status.
pub(crate) const TABLE: &[(&str, MetricForm)] = &[
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
    ("projector/source/last_error", Present("millstream_intake_failing")),
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
    ("projector/fatal", Present("millstream_projector_fatal")),
    ("projector/last_error", Moment("millstream_projector_last_error_at_ms")),
    (LAST_ERROR_AT, Moment("millstream_projector_last_error_at_ms")),
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
    ("lanes/*/fatal", Present("millstream_lane_fatal")),
    ("lanes/*/paused", Same("millstream_lane_paused")),
    ("lanes/*/replay/state", Is("running", "millstream_replay_running")),
    ("lanes/*/replay/done", Same("millstream_replay_done")),
    ("lanes/*/replay/total", Same("millstream_replay_expected")),
    ("lanes/*/replay/started_at_ms", Same("millstream_replay_started_at_ms")),
    ("lanes/*/replay/ended_at_ms", Moment("millstream_replay_ended_at_ms")),
];
