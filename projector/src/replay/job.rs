//! A replay job: its selection, rate and progress. Plain data, stored as JSON.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The documents that a replay walks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// All documents and all tombstones.
    All,
    /// Documents and tombstones of one type.
    Resource {
        /// Its `ResourceKeyId`.
        resource_key: i16,
    },
    /// One document.
    Document {
        /// Its public id.
        uuid: Uuid,
    },
    /// Documents with change records in a range of the outbox, both ends included.
    Outbox {
        /// First `OutboxId`.
        from: i64,
        /// Last `OutboxId`.
        to: i64,
    },
    /// Documents with change records written in a span of time, in milliseconds since 1970 UTC, both ends included.
    Time {
        /// Start of the span.
        from_ms: u64,
        /// End of the span.
        to_ms: u64,
    },
}

/// The destination of a replay's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// The cache queue: bodies are composed again and delivered to every sink.
    Cache,
    /// A lane: bodies are delivered again as the cache holds them. Documents that are not cached are on their way to
    /// the lane already.
    Lane,
}

/// The specification of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The documents to walk.
    pub selection: Selection,
    /// Most entries per second; `None` for as many as the queue accepts.
    pub per_s_max: Option<u32>,
    /// Overwrite copies that already hold the same version: their bytes may be damaged.
    pub repair: bool,
    /// Remove cached bodies before they are rebuilt. Only for the cache.
    pub empty: bool,
}

/// The state of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Running, or interrupted and resumed with the next start of the process.
    Running,
    /// All entries were enqueued.
    Done,
    /// An operator ended it.
    Cancelled,
    /// Ended by an error: [`Job::last_error`].
    Failed,
}

/// A replay and its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its specification.
    pub spec: Spec,
    /// Its state.
    pub state: JobState,
    /// Entries enqueued.
    pub done: u64,
    /// All entries, as counted at the start; documents written since then may be added.
    pub total: u64,
    /// Start, in milliseconds since 1970 UTC.
    pub started_at_ms: u64,
    /// End, in milliseconds since 1970 UTC.
    pub ended_at_ms: Option<u64>,
    /// The last error.
    pub last_error: Option<String>,
    /// The place from which the walk continues.
    #[serde(rename = "place")]
    pub(super) cursor: ReplayCursor,
}

/// The place from which a walk continues: after this key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReplayCursor {
    /// In the documents.
    Documents { after: i64 },
    /// In the tombstones.
    Tombstones { after: Uuid },
    /// In the outbox, up to its id `to`.
    Outbox { after: i64, to: i64 },
    /// At the end: everything was enqueued.
    End,
}

impl Job {
    pub(super) const fn new(spec: Spec, cursor: ReplayCursor, total: u64, now_ms: u64) -> Self {
        Self {
            spec,
            state: JobState::Running,
            done: 0,
            total,
            started_at_ms: now_ms,
            ended_at_ms: None,
            last_error: None,
            cursor,
        }
    }

    pub(crate) fn end(&mut self, state: JobState, now_ms: u64) {
        self.state = state;
        self.ended_at_ms = Some(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_job_reads_back_and_fits_into_a_note() {
        let spec = Spec {
            selection: Selection::Time { from_ms: u64::MAX, to_ms: u64::MAX },
            per_s_max: Some(u32::MAX),
            repair: true,
            empty: false,
        };
        let mut job = Job::new(spec, ReplayCursor::Tombstones { after: Uuid::max() }, u64::MAX, u64::MAX);
        job.end(JobState::Failed, u64::MAX);
        let json = serde_json::to_vec(&job).expect("JSON");
        assert_eq!(serde_json::from_slice::<Job>(&json).expect("it reads back"), job);
        assert!(json.len() < millstream_pipeline::queue::NOTE_BYTES_MAX / 4);
    }
}
