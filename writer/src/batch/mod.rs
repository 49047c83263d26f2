//! Batching: the writes that are in progress at the same time share transactions.
//!
//! POSTs and PUTs go to one of a few *lanes*, by the hash of the body's ReferentialId. A lane has one transaction at a
//! time. While it commits, the next batch gathers; no timer delays a write that comes alone. Phase 1 resolves the whole
//! batch with one statement and answers unchanged documents; phase 2 writes the rest with a number of statements that
//! depends on the tables concerned, not on the documents (docs/design/batching.md#phases).
//!
//! * A document that fails, fails alone: refusals are decided per document, lost races are rows that are missing from an
//!   answer, and a batch that the database refuses is divided until the culprit is alone.
//! * What a batch cannot do goes the *single* path of [`crate::upsert`]: renames, documents that lost a race, and those
//!   that wait for a lock. Later writes of the same document wait for it, the others go on.
//! * Locks are taken in one order, by every batch and by every single write: identities, documents, ReferentialIds,
//!   tables. Correctness needs neither the lanes nor their routing: another process may write to the same database.

mod attempt;
mod backlog;
mod context;
mod entry;
mod graph;
mod lane;
mod lanes;
mod locked;
mod plan;
mod prepared;
mod verdict;
mod write;

pub use context::BatchOptions;
pub use lanes::Lanes;
pub(crate) use lanes::{LaneSenders, open};
