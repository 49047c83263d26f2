//! The metrics of this crate, declared once; [`export`] sets those that are measured rather than counted.
//!
//! Every number of [`crate::ProjectorStatus`] is one of these (`crate::metrics::METRICS`).

pub(crate) mod export;

millstream_pipeline::metric_table! {
    INTAKE_CHANGES: &str = "millstream_intake_changes_total", Counter, Count, "Change records put into the queue";
    INTAKE_CHANGES_PER_S: &str = "millstream_intake_changes_per_s", Gauge, CountPerSecond, "Change records put into the queue";
    INTAKE_BATCHES: &str = "millstream_intake_batches_total", Counter, Count, "Durable batches put into the queue";
    INTAKE_SOURCE_FAILURES: &str = "millstream_intake_source_failures_total", Counter, Count, "Times the source failed and was reopened";
    INTAKE_RECONNECTS: &str = "millstream_intake_reconnects_total", Counter, Count, "Connections that the source lost and restored by itself";
    INTAKE_CONNECTED: &str = "millstream_intake_connected", Gauge, Flag, "1 while a source is connected";
    INTAKE_FAILING: &str = "millstream_intake_failing", Gauge, Flag, "1 while the source reports an error";
    INTAKE_LAG: &str = "millstream_intake_lag", Gauge, Count, "Distance from the confirmed position to the server's: bytes of WAL, transactions (polling) or offsets (a topic)";
    INTAKE_BEHIND_MS: &str = "millstream_intake_behind_ms", Gauge, Milliseconds, "Time since the server was at the confirmed position; 0 without lag";
    INTAKE_ETA_MS: &str = "millstream_intake_eta_ms", Gauge, Milliseconds, "Time until the lag is 0, at the rate of the last second";
    INTAKE_WATERMARKS: &str = "millstream_intake_watermarks_total", Counter, Count, "Recovery watermarks stored";

    QUEUE_DEPTH: &str = "millstream_queue_depth", Gauge, Count, "Entries in the queue, including those in flight";
    QUEUE_TOUCHES: &str = "millstream_queue_touches", Gauge, Count, "Queue entries that only a cascade touched";
    QUEUE_IN_FLIGHT: &str = "millstream_queue_in_flight", Gauge, Count, "Queue entries being processed";
    QUEUE_DELAYED: &str = "millstream_queue_delayed", Gauge, Count, "Queue entries that wait for their retry time";
    QUEUE_OLDEST_AGE_MS: &str = "millstream_queue_oldest_age_ms", Gauge, Milliseconds, "Age of the oldest queue entry";
    QUEUE_ETA_MS: &str = "millstream_queue_eta_ms", Gauge, Milliseconds, "Time until the queue is empty, at the rate of the last second";
    QUEUE_DISK_BYTES: &str = "millstream_queue_disk_bytes", Gauge, Bytes, "Size of the queue on disk";
    QUEUE_QUARANTINED: &str = "millstream_queue_quarantined", Gauge, Count, "Entries in quarantine";
    QUEUE_UNREADABLE: &str = "millstream_queue_unreadable", Gauge, Count, "Records of the queue that cannot be decoded";

    REBUILD_STORED: &str = "millstream_rebuild_stored_total", Counter, Count, "Bodies written to the cache";
    REBUILD_STORED_PER_S: &str = "millstream_rebuild_stored_per_s", Gauge, CountPerSecond, "Bodies written to the cache";
    REBUILD_REPAIRED: &str = "millstream_rebuild_repaired_total", Counter, Count, "Damaged bodies overwritten at an equal version";
    REBUILD_VERSION: &str = "millstream_rebuild_version", Gauge, Count, "Newest version written to the cache since the start";
    REBUILD_WORKERS: &str = "millstream_rebuild_workers", Gauge, Count, "Limit of batches rebuilt at the same time";
    REBUILD_SUPERSEDED: &str = "millstream_rebuild_superseded_total", Counter, Count, "Bodies that a newer version overtook, or that were cached already";
    REBUILD_GONE: &str = "millstream_rebuild_gone_total", Counter, Count, "Entries whose document was deleted";
    REBUILD_AWAITS_STAMP: &str = "millstream_rebuild_awaits_stamp_total", Counter, Count, "Entries left to the stamp of an open cascade";
    REBUILD_HELD: &str = "millstream_rebuild_held_total", Counter, Count, "Reads that did not show an entry's transaction yet";
    REBUILD_CONTRADICTED: &str = "millstream_rebuild_contradicted_total", Counter, Count, "Reads of rows older than their visible change record";
    REBUILD_HOLDS: &str = "millstream_rebuild_holds", Gauge, Count, "Transactions and documents being waited for";
    REBUILD_ALARMS: &str = "millstream_rebuild_alarms_total", Counter, Count, "Waits beyond the visibility deadline";
    REBUILD_FAILURES: &str = "millstream_rebuild_failures_total", Counter, Count, "Failed attempts at single documents";
    REBUILD_QUARANTINES: &str = "millstream_rebuild_quarantines_total", Counter, Count, "Documents put into quarantine";
    REBUILD_BATCHES: &str = "millstream_rebuild_batches_total", Counter, Count, "Batches rebuilt";
    REBUILD_BATCH_MS: &str = "millstream_rebuild_batch_ms", Histogram, Milliseconds, "Time from taking a batch to settling it";
    CACHE_LAG_MS: &str = "millstream_cache_lag_ms", Histogram, Milliseconds, "Time from the arrival of a change to the cached body, touches excluded";

    CASCADE_PAGES: &str = "millstream_cascade_pages_total", Counter, Count, "Pages of referrers processed";
    CASCADE_STAMPED: &str = "millstream_cascade_stamped_total", Counter, Count, "Referrers stamped";
    CASCADE_STAMPED_PER_S: &str = "millstream_cascade_stamped_per_s", Gauge, CountPerSecond, "Referrers stamped";
    CASCADE_WORKERS: &str = "millstream_cascade_workers", Gauge, Count, "Limit of cascades processed at the same time";
    CASCADE_FINISHED: &str = "millstream_cascade_finished_total", Counter, Count, "Cascades finished";
    CASCADE_OPEN: &str = "millstream_cascade_open", Gauge, Count, "Open cascades";
    CASCADE_OLDEST_AGE_MS: &str = "millstream_cascade_oldest_age_ms", Gauge, Milliseconds, "Age of the oldest open cascade";
    CASCADE_FAILURES: &str = "millstream_cascade_failures_total", Counter, Count, "Cascade pages that failed and were retried";

    RESYNC_COMPARED: &str = "millstream_resync_compared_total", Counter, Count, "Documents compared by a resync";
    RESYNC_ENQUEUED: &str = "millstream_resync_enqueued_total", Counter, Count, "Documents put into the queue by a resync";
    RESYNC_RUNNING: &str = "millstream_resync_running", Gauge, Flag, "1 while a resync runs";

    PROJECTOR_LAST_ERROR_AT_MS: &str = "millstream_projector_last_error_at_ms", Gauge, Milliseconds, "Time of the projector's last error, since 1970; 0 without one";
    PROJECTOR_FATAL: &str = "millstream_projector_fatal", Gauge, Flag, "1 once the projector cannot continue and has to be restarted";

    REPLAY_RUNNING: &str = "millstream_replay_running", Gauge, Flag, "1 while a replay to this target runs";
    REPLAY_FAILED: &str = "millstream_replay_failed", Gauge, Flag, "1 if the last replay failed";
    REPLAY_DONE: &str = "millstream_replay_done", Gauge, Count, "Documents enqueued by the last replay";
    REPLAY_EXPECTED: &str = "millstream_replay_expected", Gauge, Count, "Documents of the last replay, as counted at its start";
    REPLAY_STARTED_AT_MS: &str = "millstream_replay_started_at_ms", Gauge, Milliseconds, "Start of the last replay, since 1970";
    REPLAY_ENDED_AT_MS: &str = "millstream_replay_ended_at_ms", Gauge, Milliseconds, "End of the last replay, since 1970; 0 while it runs";

    LANE_DEPTH: &str = "millstream_lane_depth", Gauge, Count, "Entries in a sink's lane, including those in flight";
    LANE_IN_FLIGHT: &str = "millstream_lane_in_flight", Gauge, Count, "Lane entries being delivered";
    LANE_DELAYED: &str = "millstream_lane_delayed", Gauge, Count, "Lane entries that wait for their retry time";
    LANE_OLDEST_AGE_MS: &str = "millstream_lane_oldest_age_ms", Gauge, Milliseconds, "Age of the oldest entry in a lane";
    LANE_ETA_MS: &str = "millstream_lane_eta_ms", Gauge, Milliseconds, "Time until a lane is empty, at the rate of the last second";
    LANE_VERSION: &str = "millstream_lane_version", Gauge, Count, "Newest version that the sink confirmed since the start";
    LANE_QUARANTINED: &str = "millstream_lane_quarantined", Gauge, Count, "Entries in a lane's quarantine";
    LANE_UNREADABLE: &str = "millstream_lane_unreadable", Gauge, Count, "Records of a lane that cannot be decoded";
    LANE_PAUSED: &str = "millstream_lane_paused", Gauge, Flag, "1 while a lane is paused";
    LANE_FATAL: &str = "millstream_lane_fatal", Gauge, Flag, "1 while nothing can be delivered from a lane";
    LANE_LAST_ERROR_AT_MS: &str = "millstream_lane_last_error_at_ms", Gauge, Milliseconds, "Time of a lane's last error, since 1970; 0 without one";
    LANE_DELIVERED: &str = "millstream_lane_delivered_total", Counter, Count, "Deliveries that the sink confirmed";
    LANE_DELIVERED_PER_S: &str = "millstream_lane_delivered_per_s", Gauge, CountPerSecond, "Deliveries that the sink confirmed";
    LANE_SUPERSEDED: &str = "millstream_lane_superseded_total", Counter, Count, "Deliveries of a version that the sink already had, or a newer one";
    LANE_RETRIED: &str = "millstream_lane_retried_total", Counter, Count, "Deliveries to be retried, by cause";
    LANE_REJECTED: &str = "millstream_lane_rejected_total", Counter, Count, "Deliveries that the sink rejected";
    LANE_QUARANTINES: &str = "millstream_lane_quarantines_total", Counter, Count, "Documents put into a lane's quarantine";
    LANE_CONCURRENCY: &str = "millstream_lane_concurrency", Gauge, Count, "Current limit of concurrent requests to the sink";
    LANE_REQUESTS: &str = "millstream_lane_requests", Gauge, Count, "Requests in flight to the sink";
    WATCHDOG_CHECKED: &str = "millstream_watchdog_checked_total", Counter, Count, "Documents that the consistency watchdog recomputed, by kind of check: tables or sink";
    WATCHDOG_MISMATCHES: &str = "millstream_watchdog_mismatches_total", Counter, Count, "Confirmed mismatches, by kind";
    WATCHDOG_REPAIRS: &str = "millstream_watchdog_repairs_total", Counter, Count, "Mismatches that were found mended, by kind";
    WATCHDOG_REPAIR_MS: &str = "millstream_watchdog_repair_ms", Histogram, Milliseconds, "Time from a confirmed mismatch until it was found mended";
    WATCHDOG_OPEN: &str = "millstream_watchdog_open", Gauge, Count, "Confirmed mismatches that are not mended yet";
    WATCHDOG_FAILURES: &str = "millstream_watchdog_failures_total", Counter, Count, "Rounds of the watchdog that failed and were retried";

    LANE_LAG_MS: &str = "millstream_lane_lag_ms", Histogram, Milliseconds, "Time from the arrival of a change to its confirmed delivery, touches excluded";
}

#[cfg(test)]
mod tests {
    use super::METRICS;
    use millstream_pipeline::telemetry::MetricKind;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_counters_end_in_total() {
        let names: BTreeSet<&str> = METRICS.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for spec in METRICS {
            assert_eq!(spec.name.ends_with("_total"), spec.kind == MetricKind::Counter, "{}", spec.name);
        }
    }
}
