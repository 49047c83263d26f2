//! The reports of the projector and of the lanes, as the status shows them.
//!
//! They are copied member by member, so that a member which the projector renames, adds or removes is a compile error
//! here and not a silent change of `status --json`.

use millstream_projector::{self as projector, delivery::LaneReport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares a copy of a projector report and the conversion, which names every member.
macro_rules! copied {
    ($(#[$doc:meta])* $name:ident of $source:path { $($(#[$member_doc:meta])* $member:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            $($(#[$member_doc])* pub $member: $type,)*
        }

        impl From<$source> for $name {
            fn from(report: $source) -> Self {
                let $source { $($member),* } = report;
                Self { $($member: $member.into()),* }
            }
        }
    };
}

impl From<projector::ProjectorStatus> for ProjectorStatus {
    fn from(report: projector::ProjectorStatus) -> Self {
        let projector::ProjectorStatus { source, queue, rebuild, cascade, resync, last_error, fatal } = report;
        Self {
            source: source.into(),
            queue: queue.into(),
            rebuild: rebuild.into(),
            cascade: cascade.into(),
            resync: resync.into(),
            last_error: last_error.map(Into::into),
            fatal,
        }
    }
}

/// The projector.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectorStatus {
    /// The source of changes.
    pub source: SourceStatus,
    /// The cache queue.
    pub queue: QueueStatus,
    /// Rebuilds since the start.
    pub rebuild: RebuildStatus,
    /// Cascades of renames.
    pub cascade: CascadeStatus,
    /// The comparison of the cache with the tables.
    pub resync: ResyncStatus,
    /// The last error since the start, whether or not it persists.
    pub last_error: Option<LastError>,
    /// Why the projector stopped for good.
    pub fatal: Option<String>,
}

copied! {
    /// The source of changes.
    SourceStatus of projector::SourceReport {
        /// Whether changes can arrive now.
        connected: bool,
        /// Connections that the source lost and opened again by itself.
        reconnects: u64,
        /// Times that the source stopped and was opened again.
        failures: u64,
        /// Position of the server.
        server_position: String,
        /// Position up to which changes were read.
        delivered: String,
        /// Position up to which changes are durable in the queue.
        durable: String,
        /// Position that was confirmed to the server.
        confirmed: String,
        /// Distance of the confirmed position from the server's, in `lag_unit`.
        lag: u64,
        /// `bytes` of WAL (a slot), `transactions` (polling) or `offsets` (a topic, transaction markers included).
        lag_unit: String,
        /// Time since the server was at the confirmed position; 0 without lag.
        behind_ms: u64,
        /// Time until the lag is 0 at the rate of the last second; null if the lag does not shrink.
        eta_ms: Option<u64>,
        /// Change records put into the queue.
        changes: u64,
        /// Change records put into the queue in the last second.
        changes_per_s: u64,
        /// The current error of the source.
        last_error: Option<String>,
    }
}

copied! {
    /// The cache queue.
    QueueStatus of projector::QueueReport {
        /// Pending entries, without quarantined ones.
        depth: u64,
        /// Entries that come from a cascade only.
        touches: u64,
        /// Entries being rebuilt.
        in_flight: u64,
        /// Entries that wait for a retry or for their time.
        delayed: u64,
        /// Quarantined entries.
        quarantined: u64,
        /// Records that could not be parsed.
        unreadable: u64,
        /// Age of the oldest entry.
        oldest_age_ms: u64,
        /// Bytes on disk.
        disk_bytes: u64,
        /// Time until the queue is empty at the rate of the last second; null if it does not shrink.
        eta_ms: Option<u64>,
    }
}

copied! {
    /// Rebuilds since the start.
    RebuildStatus of projector::RebuildReport {
        /// Bodies written to the cache.
        stored: u64,
        /// Bodies written in the last second.
        stored_per_s: u64,
        /// The newest version written.
        version: u64,
        /// Batches at the same time at most.
        workers: u64,
        /// Damaged bodies overwritten at an equal version.
        repaired: u64,
        /// Bodies that were overtaken by a newer version, or cached already.
        superseded: u64,
        /// Entries whose document is gone.
        gone: u64,
        /// Entries left to the stamp of a cascade.
        awaits_stamp: u64,
        /// Reads of entries whose transaction was not visible yet.
        held: u64,
        /// Reads of documents whose rows were older than their visible change record.
        contradicted: u64,
        /// Transactions and documents whose visibility is waited for now.
        holds: u64,
        /// Visibility waits that exceeded the deadline.
        alarms: u64,
        /// Failed attempts at single documents.
        failures: u64,
        /// Documents put into quarantine.
        quarantines: u64,
    }
}

copied! {
    /// Cascades of renames.
    CascadeStatus of projector::CascadeReport {
        /// Open cascades.
        open: u64,
        /// Age of the oldest open cascade.
        oldest_age_ms: u64,
        /// Pages processed.
        pages: u64,
        /// Referrers stamped.
        stamped: u64,
        /// Referrers stamped in the last second.
        stamped_per_s: u64,
        /// Cascades at the same time at most.
        workers: u64,
        /// Cascades finished.
        finished: u64,
        /// Pages that failed and were retried.
        failures: u64,
    }
}

copied! {
    /// The comparison of the cache with the tables.
    ResyncStatus of projector::ResyncReport {
        /// Whether a comparison runs.
        running: bool,
        /// Documents compared.
        compared: u64,
        /// Documents found behind and enqueued.
        enqueued: u64,
    }
}

copied! {
    /// The last error of a component.
    LastError of projector::ErrorReport {
        /// Its time, in milliseconds since 1970 UTC.
        at_ms: u64,
        /// The error with its causes.
        text: String,
    }
}

copied! {
    /// A replay.
    ReplayStatus of projector::sink_manager::ReplayReport {
        /// Whether it runs, or how it ended.
        state: ReplayState,
        /// Entries enqueued.
        done: u64,
        /// Entries in all, as counted at its start.
        total: u64,
        /// Time of its start, in milliseconds since 1970 UTC.
        started_at_ms: u64,
        /// Time of its end, in milliseconds since 1970 UTC.
        ended_at_ms: Option<u64>,
        /// The last error.
        last_error: Option<String>,
    }
}

/// The state of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// It runs.
    Running,
    /// Every entry was enqueued.
    #[default]
    Done,
    /// An operator cancelled it.
    Cancelled,
    /// It failed.
    Failed,
}

impl ReplayState {
    /// The name in the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

impl From<projector::replay::JobState> for ReplayState {
    fn from(state: projector::replay::JobState) -> Self {
        use projector::replay::JobState;
        match state {
            JobState::Running => Self::Running,
            JobState::Done => Self::Done,
            JobState::Cancelled => Self::Cancelled,
            JobState::Failed => Self::Failed,
        }
    }
}

/// A lane with its sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LaneStatus {
    /// Name of the lane.
    pub name: String,
    /// Description of the sink; empty while it cannot be opened.
    pub sink: String,
    /// Pending entries, without quarantined ones.
    pub depth: u64,
    /// Entries being delivered.
    pub in_flight: u64,
    /// Entries that wait for a retry.
    pub delayed: u64,
    /// Quarantined entries.
    pub quarantined: u64,
    /// Records that could not be parsed.
    pub unreadable: u64,
    /// Age of the oldest entry, from the arrival of its change.
    pub oldest_age_ms: u64,
    /// Deliveries that the sink confirmed since the start.
    pub delivered: u64,
    /// Deliveries confirmed in the last second.
    pub delivered_per_s: u64,
    /// The newest version that the sink confirmed or had already.
    pub version: u64,
    /// Deliveries that the sink had already, or in a newer version.
    pub superseded: u64,
    /// Deliveries that were retried.
    pub retried: u64,
    /// Deliveries that the sink rejected.
    pub rejected: u64,
    /// Requests at the same time at most.
    pub concurrency: u64,
    /// Requests in flight.
    pub requests: u64,
    /// Time until the lane is empty at the rate of the last second; null if it does not shrink.
    pub eta_ms: Option<u64>,
    /// The last error since the start.
    pub last_error: Option<LastError>,
    /// Why nothing can be delivered.
    pub fatal: Option<String>,
    /// Whether an operator paused it.
    pub paused: bool,
    /// The last replay into it.
    pub replay: Option<ReplayStatus>,
}

impl From<projector::sink_manager::LaneStatus> for LaneStatus {
    fn from(status: projector::sink_manager::LaneStatus) -> Self {
        let projector::sink_manager::LaneStatus { report, paused, replay } = status;
        let LaneReport {
            name,
            sink,
            depth,
            in_flight,
            delayed,
            quarantined,
            unreadable,
            oldest_age_ms,
            delivered,
            delivered_per_s,
            version,
            superseded,
            retried,
            rejected,
            concurrency,
            requests,
            eta_ms,
            last_error,
            fatal,
        } = report;
        let (last_error, replay) = (last_error.map(Into::into), replay.map(Into::into));
        Self {
            name,
            sink,
            depth,
            in_flight,
            delayed,
            quarantined,
            unreadable,
            oldest_age_ms,
            delivered,
            delivered_per_s,
            version,
            superseded,
            retried,
            rejected,
            concurrency,
            requests,
            eta_ms,
            last_error,
            fatal,
            paused,
            replay,
        }
    }
}
