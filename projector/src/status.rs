//! The measurements of the projector. Every number is also a metric ([`crate::metrics`]).

use millstream_pipeline::queue::QueueProblem;

/// The status of a projector.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectorStatus {
    /// The source of changes.
    pub source: SourceReport,
    /// The cache queue.
    pub queue: QueueReport,
    /// Rebuilds since the start.
    pub rebuild: RebuildReport,
    /// Cascades of renames.
    pub cascade: CascadeReport,
    /// The comparison of the cache with the tables, since the start.
    pub resync: ResyncReport,
    /// The last error since the start, also if a retry succeeded.
    pub last_error: Option<ErrorReport>,
    /// The reason why the projector cannot continue, if so.
    pub fatal: Option<String>,
}

/// The source of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReport {
    /// The source is connected.
    pub connected: bool,
    /// Connections that the source lost and restored by itself.
    pub reconnects: u64,
    /// Times the source failed and was reopened.
    pub failures: u64,
    /// Position of the server.
    pub server_position: String,
    /// Position up to which the source has handed out changes.
    pub delivered: String,
    /// Position up to which changes are durable in the queue.
    pub durable: String,
    /// Position confirmed to the server.
    pub confirmed: String,
    /// Distance from the confirmed position to the server's, in `lag_unit`.
    pub lag: u64,
    /// `bytes` of WAL (a slot), `transactions` (polling) or `offsets` (a topic, transaction markers included).
    pub lag_unit: &'static str,
    /// Milliseconds since the server was at the confirmed position; 0 without lag.
    pub behind_ms: u64,
    /// Milliseconds until the lag is 0, at the rate of the last second; `None` if it does not decrease.
    pub eta_ms: Option<u64>,
    /// Change records put into the queue.
    pub changes: u64,
    /// The same, in the last second.
    pub changes_per_s: u64,
    /// The source's current error.
    pub last_error: Option<String>,
}

/// The cache queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueReport {
    /// Entries, without those in quarantine.
    pub depth: u64,
    /// Entries that only a cascade touched.
    pub touches: u64,
    /// Entries being processed.
    pub in_flight: u64,
    /// Entries that wait for their retry time.
    pub delayed: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Records that cannot be decoded.
    pub unreadable: u64,
    /// Age of the oldest entry.
    pub oldest_age_ms: u64,
    /// Size on disk, in bytes.
    pub disk_bytes: u64,
    /// Milliseconds until the queue is empty, at the rate of the last second; `None` if it does not get shorter.
    pub eta_ms: Option<u64>,
}

/// Rebuilds since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// Bodies written to the cache.
    pub stored: u64,
    /// The same, in the last second.
    pub stored_per_s: u64,
    /// The newest version among them.
    pub version: u64,
    /// Limit of batches rebuilt at the same time.
    pub workers: u64,
    /// Damaged bodies overwritten at an equal version.
    pub repaired: u64,
    /// Bodies that a newer version overtook, or that were cached already.
    pub superseded: u64,
    /// Entries whose document was deleted.
    pub gone: u64,
    /// Entries left to the stamp of a cascade.
    pub awaits_stamp: u64,
    /// Reads that did not show an entry's transaction yet.
    pub held: u64,
    /// Reads of rows older than their visible change record.
    pub contradicted: u64,
    /// Transactions and documents being waited for.
    pub holds: u64,
    /// Waits beyond the visibility deadline.
    pub alarms: u64,
    /// Failed attempts at single documents.
    pub failures: u64,
    /// Documents put into quarantine.
    pub quarantines: u64,
}

/// Cascades of renames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CascadeReport {
    /// Open cascades.
    pub open: u64,
    /// Age of the oldest.
    pub oldest_age_ms: u64,
    /// Pages of referrers processed.
    pub pages: u64,
    /// Referrers stamped.
    pub stamped: u64,
    /// The same, in the last second.
    pub stamped_per_s: u64,
    /// Limit of cascades processed at the same time.
    pub workers: u64,
    /// Cascades finished.
    pub finished: u64,
    /// Pages that failed and were retried.
    pub failures: u64,
}

/// The comparison of the cache with the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResyncReport {
    /// A resync is running.
    pub running: bool,
    /// Documents compared.
    pub compared: u64,
    /// Stale documents put into the queue.
    pub enqueued: u64,
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReport {
    /// Time, in milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// The error with its causes.
    pub text: String,
}

impl From<QueueProblem> for ErrorReport {
    fn from(QueueProblem { at_ms, text }: QueueProblem) -> Self {
        Self { at_ms, text }
    }
}
