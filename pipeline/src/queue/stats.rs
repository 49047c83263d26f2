//! The content of a queue as operators see it: counts, quarantined entries, unreadable records.

use super::work::Work;

/// An entry that is not tried again until an operator or a newer version of the document releases it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The pending work.
    pub work: Work,
    /// The last failure.
    pub reason: String,
    /// Time of the first failed attempt since the last newer version.
    pub first_failed_at_ms: u64,
    /// Time of the last failed attempt.
    pub last_failed_at_ms: u64,
}

/// A record of the queue that could not be decoded. Its work is unknown, so it cannot be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The record's position and its name for [`super::WorkQueue::discard_unreadable`]: `topic/partition/offset`.
    pub place: String,
    /// The fault, for the operator.
    pub reason: String,
    /// The record's bytes.
    pub value: Vec<u8>,
}

/// The reason why a queue hands nothing out at the moment although it may hold entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueProblem {
    /// Time of its last occurrence.
    pub at_ms: u64,
    /// The failure, for the operator.
    pub text: String,
}

/// Counts and age of the entries in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// All entries outside quarantine: ready, delayed and in flight.
    pub depth: u64,
    /// Entries of [`QueueStats::depth`] that are only touches and not delayed.
    pub touches: u64,
    /// Entries of [`QueueStats::depth`] that were taken and not settled.
    pub in_flight: u64,
    /// Entries of [`QueueStats::depth`] that were put off to a later time.
    pub delayed: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Records that could not be decoded; they are kept beside the quarantine ([`Unreadable`]).
    pub unreadable: u64,
    /// Age of the oldest pending work; of delayed entries only the first thousand are examined.
    pub oldest_age_ms: u64,
    /// There may be older work than [`QueueStats::oldest_age_ms`] says. In a shared queue the age of entries that other
    /// processes hold, or that were not read yet, is unknown; in a local queue not all delayed entries are examined.
    pub ages_unknown: bool,
    /// Bytes that the queue occupies on disk, all lanes included; 0 for a lane, which lives on the disk of its queue.
    pub disk_bytes: u64,
}
