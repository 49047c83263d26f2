//! One replay: what it walks, how fast, and how far it has come. Plain data, stored as JSON.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// All there are, and all that were deleted.
    All,
    /// Those of one type.
    Resource {
        /// Its `ResourceKeyId`.
        resource_key: i16,
    },
    /// One.
    Document {
        /// Its public id.
        uuid: Uuid,
    },
    /// Those with change records in a range of the outbox, both ends included.
    Outbox {
        /// First `OutboxId`.
        from: i64,
        /// Last `OutboxId`.
        to: i64,
    },
    /// Those with change records written in a span of time, in milliseconds since 1970 UTC, both ends included.
    Time {
        /// Its begin.
        from_ms: u64,
        /// Its end.
        to_ms: u64,
    },
}

/// What somebody wants replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Which documents.
    pub selection: Selection,
    /// Entries a second at most; none for as fast as the queue takes them.
    pub per_s_max: Option<u32>,
    /// Copies are overwritten also where they hold the very version already: their bytes may be wrong.
    pub repair: bool,
    /// Cached bodies are removed before they are made again. Only for the cache.
    pub empty: bool,
}

/// How a replay is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It runs, or will when the process does.
    Running,
    /// Every entry was put.
    Done,
    /// Somebody ended it.
    Cancelled,
    /// It cannot go on; [`Job::last_error`] says why.
    Failed,
}

/// A replay and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What was wanted.
    pub spec: Spec,
    /// How it is doing.
    pub state: JobState,
    /// Entries put.
    pub done: u64,
    /// Entries in all, as counted at the start; documents written since may be added.
    pub total: u64,
    /// When it was started, in milliseconds since 1970 UTC.
    pub started_at_ms: u64,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Where it goes on.
    pub(super) place: Place,
}

/// Where a walk goes on: behind this key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// In the documents.
    Documents { after: i64 },
    /// In the ledger of tombstones.
    Tombstones { after: Uuid },
    /// In the outbox, up to its id `to`.
    Outbox { after: i64, to: i64 },
    /// Nowhere: everything was put.
    End,
}

impl Job {
    pub(super) const fn new(spec: Spec, place: Place, total: u64, now_ms: u64) -> Self {
        Self {
            spec,
            state: JobState::Running,
            done: 0,
            total,
            started_at_ms: now_ms,
            ended_at_ms: None,
            last_error: None,
            place,
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
        let mut job = Job::new(spec, Place::Tombstones { after: Uuid::max() }, u64::MAX, u64::MAX);
        job.end(JobState::Failed, u64::MAX);
        let json = serde_json::to_vec(&job).expect("JSON");
        assert_eq!(serde_json::from_slice::<Job>(&json).expect("it reads back"), job);
        assert!(json.len() < millstream_pipeline::queue::NOTE_BYTES_MAX / 4);
    }
}
