//! Names of everything this crate measures. Each number of [`crate::ProjectorStatus`] is one of these.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Change records put into the queue.
pub const INTAKE_CHANGES: &str = "millstream_intake_changes_total";
/// Change records put into the queue in the last second.
pub const INTAKE_CHANGES_PER_S: &str = "millstream_intake_changes_per_s";
/// Durable batches put into the queue.
pub const INTAKE_BATCHES: &str = "millstream_intake_batches_total";
/// Times the source failed and was opened again.
pub const INTAKE_SOURCE_FAILURES: &str = "millstream_intake_source_failures_total";
/// 1 while a source is connected.
pub const INTAKE_CONNECTED: &str = "millstream_intake_connected";
/// How far the confirmed position is behind the server's, in what positions count.
pub const INTAKE_LAG: &str = "millstream_intake_lag";
/// 1 while the source complains.
pub const INTAKE_FAILING: &str = "millstream_intake_failing";
/// Connections that the source lost and made again by itself.
pub const INTAKE_RECONNECTS: &str = "millstream_intake_reconnects_total";
/// How long ago the server was where the confirmed position is.
pub const INTAKE_BEHIND_MS: &str = "millstream_intake_behind_ms";
/// Milliseconds until nothing is behind, at the rate of the last second.
pub const INTAKE_ETA_MS: &str = "millstream_intake_eta_ms";
/// Recovery watermarks stored.
pub const INTAKE_WATERMARKS: &str = "millstream_intake_watermarks_total";

/// Entries in the queue, taken ones included.
pub const QUEUE_DEPTH: &str = "millstream_queue_depth";
/// Those of them that only a cascade touched.
pub const QUEUE_TOUCHES: &str = "millstream_queue_touches";
/// Those of them being worked on.
pub const QUEUE_IN_FLIGHT: &str = "millstream_queue_in_flight";
/// Those of them that wait for their time.
pub const QUEUE_DELAYED: &str = "millstream_queue_delayed";
/// Milliseconds until the queue is empty at the rate of the last second.
pub const QUEUE_ETA_MS: &str = "millstream_queue_eta_ms";
/// Records of the queue that nobody could read.
pub const QUEUE_UNREADABLE: &str = "millstream_queue_unreadable";
/// Age of the oldest entry in the queue.
pub const QUEUE_OLDEST_AGE_MS: &str = "millstream_queue_oldest_age_ms";
/// Bytes that the queue occupies on disk.
pub const QUEUE_DISK_BYTES: &str = "millstream_queue_disk_bytes";
/// Entries in quarantine.
pub const QUEUE_QUARANTINED: &str = "millstream_queue_quarantined";

/// Bodies written to the cache.
pub const REBUILD_STORED: &str = "millstream_rebuild_stored_total";
/// Damaged bodies overwritten at an equal version.
pub const REBUILD_REPAIRED: &str = "millstream_rebuild_repaired_total";
/// Bodies written to the cache in the last second.
pub const REBUILD_STORED_PER_S: &str = "millstream_rebuild_stored_per_s";
/// The newest version written to the cache.
pub const REBUILD_VERSION: &str = "millstream_rebuild_version";
/// Batches that may be rebuilt at the same time.
pub const REBUILD_WORKERS: &str = "millstream_rebuild_workers";
/// Bodies that a newer version overtook, or that were cached already.
pub const REBUILD_SUPERSEDED: &str = "millstream_rebuild_superseded_total";
/// Entries whose document is gone.
pub const REBUILD_GONE: &str = "millstream_rebuild_gone_total";
/// Entries left to the stamp of an open cascade.
pub const REBUILD_AWAITS_STAMP: &str = "millstream_rebuild_awaits_stamp_total";
/// Looks at an entry whose transaction was not visible yet.
pub const REBUILD_HELD: &str = "millstream_rebuild_held_total";
/// Looks at a document whose rows were older than its visible change record.
pub const REBUILD_CONTRADICTED: &str = "millstream_rebuild_contradicted_total";
/// Things being waited for now: transactions not visible, documents behind their change record.
pub const REBUILD_HOLDS: &str = "millstream_rebuild_holds";
/// Changes that did not become visible, or rows that stayed behind their change record, beyond the deadline.
pub const REBUILD_ALARMS: &str = "millstream_rebuild_alarms_total";
/// Failed attempts at single documents.
pub const REBUILD_FAILURES: &str = "millstream_rebuild_failures_total";
/// Documents put into quarantine.
pub const REBUILD_QUARANTINES: &str = "millstream_rebuild_quarantines_total";
/// Batches rebuilt.
pub const REBUILD_BATCHES: &str = "millstream_rebuild_batches_total";
/// Milliseconds that a batch took, from taking it to settling it.
pub const REBUILD_BATCH_MS: &str = "millstream_rebuild_batch_ms";
/// Milliseconds from the arrival of the oldest change that an entry owes to its body in the cache; touches not counted.
pub const CACHE_LAG_MS: &str = "millstream_cache_lag_ms";

/// Pages of referrers worked off.
pub const CASCADE_PAGES: &str = "millstream_cascade_pages_total";
/// Referrers stamped.
pub const CASCADE_STAMPED: &str = "millstream_cascade_stamped_total";
/// Referrers stamped in the last second.
pub const CASCADE_STAMPED_PER_S: &str = "millstream_cascade_stamped_per_s";
/// Cascades that may be worked off at the same time.
pub const CASCADE_WORKERS: &str = "millstream_cascade_workers";
/// Cascades finished.
pub const CASCADE_FINISHED: &str = "millstream_cascade_finished_total";
/// Cascades open now.
pub const CASCADE_OPEN: &str = "millstream_cascade_open";
/// Age of the oldest open cascade.
pub const CASCADE_OLDEST_AGE_MS: &str = "millstream_cascade_oldest_age_ms";
/// Page transactions that failed for good and were started over.
pub const CASCADE_FAILURES: &str = "millstream_cascade_failures_total";

/// Documents that a resynchronisation compared.
pub const RESYNC_COMPARED: &str = "millstream_resync_compared_total";
/// Documents that it put into the queue.
pub const RESYNC_ENQUEUED: &str = "millstream_resync_enqueued_total";
/// 1 while a resynchronisation runs.
pub const RESYNC_RUNNING: &str = "millstream_resync_running";

/// When the projector met its last trouble; 0 if it never did.
pub const PROJECTOR_LAST_ERROR_AT_MS: &str = "millstream_projector_last_error_at_ms";
/// 1 once the projector can no longer do its work.
pub const PROJECTOR_FATAL: &str = "millstream_projector_fatal";

/// 1 while a replay runs.
pub const REPLAY_RUNNING: &str = "millstream_replay_running";
/// 1 after a replay that could not go on.
pub const REPLAY_FAILED: &str = "millstream_replay_failed";
/// Documents that a replay has owed again.
pub const REPLAY_DONE: &str = "millstream_replay_done";
/// Documents that it is going to, as counted at its start.
pub const REPLAY_EXPECTED: &str = "millstream_replay_expected";
/// When it was started.
pub const REPLAY_STARTED_AT_MS: &str = "millstream_replay_started_at_ms";
/// When it ended; 0 while it runs.
pub const REPLAY_ENDED_AT_MS: &str = "millstream_replay_ended_at_ms";

/// Entries in a sink's lane, taken ones included.
pub const LANE_DEPTH: &str = "millstream_lane_depth";
/// Those of them being delivered.
pub const LANE_IN_FLIGHT: &str = "millstream_lane_in_flight";
/// Those of them that wait for their time.
pub const LANE_DELAYED: &str = "millstream_lane_delayed";
/// Milliseconds until a lane is empty at the rate of the last second.
pub const LANE_ETA_MS: &str = "millstream_lane_eta_ms";
/// The newest version that the sink confirmed.
pub const LANE_VERSION: &str = "millstream_lane_version";
/// 1 while a lane is paused.
pub const LANE_PAUSED: &str = "millstream_lane_paused";
/// 1 while nothing can be delivered from a lane.
pub const LANE_FATAL: &str = "millstream_lane_fatal";
/// When a lane met its last trouble; 0 if it never did.
pub const LANE_LAST_ERROR_AT_MS: &str = "millstream_lane_last_error_at_ms";
/// Records of a lane that nobody could read.
pub const LANE_UNREADABLE: &str = "millstream_lane_unreadable";
/// Age of the oldest entry in a lane, from the arrival of its change.
pub const LANE_OLDEST_AGE_MS: &str = "millstream_lane_oldest_age_ms";
/// Entries in a lane's quarantine.
pub const LANE_QUARANTINED: &str = "millstream_lane_quarantined";
/// Deliveries that the sink confirmed.
pub const LANE_DELIVERED: &str = "millstream_lane_delivered_total";
/// Deliveries that the sink confirmed in the last second.
pub const LANE_DELIVERED_PER_S: &str = "millstream_lane_delivered_per_s";
/// Deliveries that the sink had already, or something newer.
pub const LANE_SUPERSEDED: &str = "millstream_lane_superseded_total";
/// Deliveries that had to be made again, by cause.
pub const LANE_RETRIED: &str = "millstream_lane_retried_total";
/// Deliveries that the sink refused.
pub const LANE_REJECTED: &str = "millstream_lane_rejected_total";
/// Documents put into a lane's quarantine.
pub const LANE_QUARANTINES: &str = "millstream_lane_quarantines_total";
/// Requests that may be under way to the sink at the same time.
pub const LANE_CONCURRENCY: &str = "millstream_lane_concurrency";
/// Requests under way to the sink.
pub const LANE_REQUESTS: &str = "millstream_lane_requests";
/// Milliseconds from the arrival of a change to its confirmed delivery; touches not counted.
pub const LANE_LAG_MS: &str = "millstream_lane_lag_ms";

/// Registers every description with the installed recorder. Harmless without one, and when repeated.
pub fn describe() {
    describe_intake();
    describe_queue();
    describe_rebuild();
    describe_cascade();
    describe_replay();
    describe_lanes();
    describe_gauge!(
        PROJECTOR_LAST_ERROR_AT_MS,
        Unit::Milliseconds,
        "When the projector met its last trouble, since 1970; 0 if it never did"
    );
    describe_gauge!(PROJECTOR_FATAL, "1 once the projector can no longer do its work");
}

fn describe_intake() {
    describe_counter!(INTAKE_CHANGES, Unit::Count, "Change records put into the queue");
    describe_gauge!(INTAKE_CHANGES_PER_S, Unit::CountPerSecond, "Change records put into the queue");
    describe_counter!(INTAKE_BATCHES, Unit::Count, "Durable batches put into the queue");
    describe_counter!(INTAKE_SOURCE_FAILURES, Unit::Count, "Times the source failed and was opened again");
    describe_counter!(INTAKE_RECONNECTS, Unit::Count, "Connections that the source lost and made again by itself");
    describe_gauge!(INTAKE_CONNECTED, "1 while a source is connected");
    describe_gauge!(INTAKE_FAILING, "1 while the source complains");
    describe_gauge!(
        INTAKE_LAG,
        Unit::Count,
        "Between the server's position and the confirmed one: bytes of WAL, transactions (polling) or offsets (a topic)"
    );
    describe_gauge!(
        INTAKE_BEHIND_MS,
        Unit::Milliseconds,
        "How long ago the server was where the confirmed position is"
    );
    describe_gauge!(INTAKE_ETA_MS, Unit::Milliseconds, "Time until nothing is behind, at the rate of the last second");
    describe_counter!(INTAKE_WATERMARKS, Unit::Count, "Recovery watermarks stored");
}

fn describe_queue() {
    describe_gauge!(QUEUE_DEPTH, Unit::Count, "Entries in the queue, taken ones included");
    describe_gauge!(QUEUE_TOUCHES, Unit::Count, "Those of them that only a cascade touched");
    describe_gauge!(QUEUE_IN_FLIGHT, Unit::Count, "Those of them being worked on");
    describe_gauge!(QUEUE_DELAYED, Unit::Count, "Those of them that wait for their time");
    describe_gauge!(QUEUE_OLDEST_AGE_MS, Unit::Milliseconds, "Age of the oldest queue entry");
    describe_gauge!(QUEUE_ETA_MS, Unit::Milliseconds, "Time until the queue is empty at the rate of the last second");
    describe_gauge!(QUEUE_DISK_BYTES, Unit::Bytes, "Bytes of the queue on disk");
    describe_gauge!(QUEUE_QUARANTINED, Unit::Count, "Entries in quarantine");
    describe_gauge!(QUEUE_UNREADABLE, Unit::Count, "Records of the queue that nobody could read");
}

fn describe_rebuild() {
    describe_counter!(REBUILD_STORED, Unit::Count, "Bodies written to the cache");
    describe_counter!(REBUILD_REPAIRED, Unit::Count, "Damaged bodies overwritten at an equal version");
    describe_gauge!(REBUILD_STORED_PER_S, Unit::CountPerSecond, "Bodies written to the cache");
    describe_gauge!(REBUILD_VERSION, Unit::Count, "The newest version written to the cache since the start");
    describe_gauge!(REBUILD_WORKERS, Unit::Count, "Batches that may be rebuilt at the same time");
    describe_counter!(REBUILD_SUPERSEDED, Unit::Count, "Bodies overtaken by a newer version or cached already");
    describe_counter!(REBUILD_GONE, Unit::Count, "Entries whose document is gone");
    describe_counter!(REBUILD_AWAITS_STAMP, Unit::Count, "Entries left to the stamp of an open cascade");
    describe_counter!(REBUILD_HELD, Unit::Count, "Looks at an entry whose transaction was not visible yet");
    describe_counter!(
        REBUILD_CONTRADICTED,
        Unit::Count,
        "Looks at rows that were older than their visible change record"
    );
    describe_gauge!(REBUILD_HOLDS, Unit::Count, "Transactions and documents being waited for");
    describe_counter!(REBUILD_ALARMS, Unit::Count, "Waits beyond the visibility deadline");
    describe_counter!(REBUILD_FAILURES, Unit::Count, "Failed attempts at single documents");
    describe_counter!(REBUILD_QUARANTINES, Unit::Count, "Documents put into quarantine");
    describe_counter!(REBUILD_BATCHES, Unit::Count, "Batches rebuilt");
    describe_histogram!(REBUILD_BATCH_MS, Unit::Milliseconds, "Time a batch took");
    describe_histogram!(CACHE_LAG_MS, Unit::Milliseconds, "Time from the arrival of a change to the cached body");
}

fn describe_cascade() {
    describe_counter!(CASCADE_PAGES, Unit::Count, "Pages of referrers worked off");
    describe_counter!(CASCADE_STAMPED, Unit::Count, "Referrers stamped");
    describe_gauge!(CASCADE_STAMPED_PER_S, Unit::CountPerSecond, "Referrers stamped");
    describe_gauge!(CASCADE_WORKERS, Unit::Count, "Cascades that may be worked off at the same time");
    describe_counter!(CASCADE_FINISHED, Unit::Count, "Cascades finished");
    describe_gauge!(CASCADE_OPEN, Unit::Count, "Cascades open now");
    describe_gauge!(CASCADE_OLDEST_AGE_MS, Unit::Milliseconds, "Age of the oldest open cascade");
    describe_counter!(CASCADE_FAILURES, Unit::Count, "Cascade pages that failed and were started over");
    describe_counter!(RESYNC_COMPARED, Unit::Count, "Documents compared by a resynchronisation");
    describe_counter!(RESYNC_ENQUEUED, Unit::Count, "Documents put into the queue by a resynchronisation");
    describe_gauge!(RESYNC_RUNNING, "1 while a resynchronisation runs");
}

fn describe_replay() {
    describe_gauge!(REPLAY_RUNNING, "1 while a replay to this target runs");
    describe_gauge!(REPLAY_FAILED, "1 after a replay that could not go on");
    describe_gauge!(REPLAY_DONE, Unit::Count, "Documents that the last replay has owed again");
    describe_gauge!(REPLAY_EXPECTED, Unit::Count, "Documents of the last replay, as counted at its start");
    describe_gauge!(REPLAY_STARTED_AT_MS, Unit::Milliseconds, "When the last replay was started, since 1970");
    describe_gauge!(REPLAY_ENDED_AT_MS, Unit::Milliseconds, "When the last replay ended, since 1970; 0 while it runs");
}

fn describe_lanes() {
    describe_gauge!(LANE_DEPTH, Unit::Count, "Entries in a sink's lane, taken ones included");
    describe_gauge!(LANE_IN_FLIGHT, Unit::Count, "Those of them being delivered");
    describe_gauge!(LANE_DELAYED, Unit::Count, "Those of them that wait for their time");
    describe_gauge!(LANE_OLDEST_AGE_MS, Unit::Milliseconds, "Age of the oldest entry in a lane");
    describe_gauge!(LANE_ETA_MS, Unit::Milliseconds, "Time until a lane is empty at the rate of the last second");
    describe_gauge!(LANE_VERSION, Unit::Count, "The newest version that the sink confirmed since the start");
    describe_gauge!(LANE_QUARANTINED, Unit::Count, "Entries in a lane's quarantine");
    describe_gauge!(LANE_UNREADABLE, Unit::Count, "Records of a lane that nobody could read");
    describe_gauge!(LANE_PAUSED, "1 while a lane is paused");
    describe_gauge!(LANE_FATAL, "1 while nothing can be delivered from a lane");
    describe_gauge!(
        LANE_LAST_ERROR_AT_MS,
        Unit::Milliseconds,
        "When a lane met its last trouble, since 1970; 0 if it never did"
    );
    describe_counter!(LANE_DELIVERED, Unit::Count, "Deliveries that the sink confirmed");
    describe_gauge!(LANE_DELIVERED_PER_S, Unit::CountPerSecond, "Deliveries that the sink confirmed");
    describe_counter!(LANE_SUPERSEDED, Unit::Count, "Deliveries that the sink had already, or something newer");
    describe_counter!(LANE_RETRIED, Unit::Count, "Deliveries that had to be made again");
    describe_counter!(LANE_REJECTED, Unit::Count, "Deliveries that the sink refused");
    describe_counter!(LANE_QUARANTINES, Unit::Count, "Documents put into a lane's quarantine");
    describe_gauge!(LANE_CONCURRENCY, Unit::Count, "Requests that may be under way at the same time");
    describe_gauge!(LANE_REQUESTS, Unit::Count, "Requests under way");
    describe_histogram!(LANE_LAG_MS, Unit::Milliseconds, "Time from the arrival of a change to its confirmed delivery");
}
