//! What `status --json` shows of a projector. Every number here is a metric as well ([`crate::metrics`]).

use serde::Serialize;

/// How a projector is doing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectorStatus {
    /// Where changes come from.
    pub source: SourceReport,
    /// What waits.
    pub queue: QueueReport,
    /// What was rebuilt since the start.
    pub rebuild: RebuildReport,
    /// What renames still have to reach.
    pub cascade: CascadeReport,
    /// Whether the cache is being compared with the tables, and how far that has come since the start.
    pub resync: ResyncReport,
    /// The last thing that went wrong since the start, whether or not it was mended since.
    pub last_error: Option<ErrorReport>,
    /// Why the projector can no longer do its work, if so.
    pub fatal: Option<String>,
}

/// Where changes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// Changes can arrive right now.
    pub connected: bool,
    /// Connections lost and tried again by the source itself.
    pub reconnects: u64,
    /// Times the source gave up and was opened again.
    pub failures: u64,
    /// How far the server has come.
    pub server_position: String,
    /// How far changes were handed out.
    pub delivered: String,
    /// How far they are safe in the queue.
    pub durable: String,
    /// How far the server was told so.
    pub confirmed: String,
    /// How far what is confirmed is behind the server, in `lag_unit`.
    pub lag: u64,
    /// `bytes` of WAL (a slot), `transactions` (polling) or `offsets` (a topic, marks of transactions included).
    pub lag_unit: &'static str,
    /// How long ago the server was where the confirmed position is; 0 if nothing is behind.
    pub behind_ms: u64,
    /// Milliseconds until nothing is behind, at the rate of the last second; none if that does not get less.
    pub eta_ms: Option<u64>,
    /// Change records put into the queue.
    pub changes: u64,
    /// The same, in the last second.
    pub changes_per_s: u64,
    /// What the source complains about.
    pub last_error: Option<String>,
}

/// What waits in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueReport {
    /// Entries, those in quarantine not counted.
    pub depth: u64,
    /// Those of them that only a cascade touched.
    pub touches: u64,
    /// Those of them being worked on.
    pub in_flight: u64,
    /// Those of them that wait for their time.
    pub delayed: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Records that nobody could read.
    pub unreadable: u64,
    /// Age of the oldest entry.
    pub oldest_age_ms: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Milliseconds until the queue is empty at the rate of the last second; none if it does not get shorter.
    pub eta_ms: Option<u64>,
}

/// What was rebuilt since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RebuildReport {
    /// Bodies written to the cache.
    pub stored: u64,
    /// The same, in the last second.
    pub stored_per_s: u64,
    /// The newest version among them: how far the cache has come.
    pub version: u64,
    /// Batches that may be rebuilt at the same time.
    pub workers: u64,
    /// Damaged bodies overwritten at an equal version.
    pub repaired: u64,
    /// Bodies overtaken by a newer version, or cached already.
    pub superseded: u64,
    /// Entries whose document is gone.
    pub gone: u64,
    /// Entries left to the stamp of a cascade.
    pub awaits_stamp: u64,
    /// Looks at entries whose transaction was not visible yet.
    pub held: u64,
    /// Looks at documents whose rows were older than their visible change record.
    pub contradicted: u64,
    /// Transactions and documents that are waited for now.
    pub holds: u64,
    /// Waits that exceeded the deadline.
    pub alarms: u64,
    /// Failed attempts at single documents.
    pub failures: u64,
    /// Documents put into quarantine.
    pub quarantines: u64,
}

/// What renames still have to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CascadeReport {
    /// Open cascades.
    pub open: u64,
    /// Age of the oldest of them.
    pub oldest_age_ms: u64,
    /// Pages worked off.
    pub pages: u64,
    /// Referrers stamped.
    pub stamped: u64,
    /// The same, in the last second.
    pub stamped_per_s: u64,
    /// Cascades that may be worked off at the same time.
    pub workers: u64,
    /// Cascades finished.
    pub finished: u64,
    /// Pages that failed and were started over.
    pub failures: u64,
}

/// How far the comparison of cache and tables has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResyncReport {
    /// One runs now.
    pub running: bool,
    /// Documents compared.
    pub compared: u64,
    /// Documents found behind and put into the queue.
    pub enqueued: u64,
}

/// The last thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// What, with its causes.
    pub text: String,
}
