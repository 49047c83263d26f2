//! The replay: enqueueing documents again, for the cache or for one sink, while everything else runs.
//!
//! A replay walks the documents of a [`Selection`], page by page in key order, and puts an entry for each into the
//! cache queue or into a sink's lane. It fills a new sink, repeats deliveries that a sink lost, and rebuilds the whole
//! cache. It walks tombstones too, so deletes are part of it.
//!
//! It is safe at any time because an entry only asks to process its document again: the delivery sends what the cache
//! holds then, and versions decide. It resumes after a crash: its cursor is stored after each page ([`Ledger`]), so at
//! most one page is enqueued twice. It keeps to its rate and pauses while the queue is long, so the backlog stays
//! bounded.
//!
//! It composes and delivers nothing itself. When a replay is finished, its entries may still be waiting.

pub(crate) mod job;
pub(crate) mod ledger;
pub(crate) mod page;
pub(crate) mod runner;
mod state;
mod walk;

pub use job::{Aim, Job, JobState, Selection, Spec};
pub use ledger::{FileLedger, Ledger, LedgerError, NoteLedger};
pub use millstream_store::table::replay::TypeCount;
pub use page::count;
pub use runner::Replay;
pub use state::{ReplayDeps, ReplayError, ReplayOptions};
