//! The durable work queue between the source and the projector.
//!
//! The queue holds one entry per document, whatever the number of its changes. An entry is ready (direct edits and
//! touches apart), delayed, in flight, or in quarantine. Work is on disk before `put` returns. A crash may forget
//! settlements; the work is then done again, which is harmless because every write downstream is guarded by versions.
//! Being in flight is never stored: after a restart every entry that was not settled is ready again.
//!
//! The cache queue holds the documents to rebuild. A queue may also have [`Lanes`]: one [`WorkQueue`] per sink, with
//! the documents to deliver to it. [`Settled::Deliver`] moves an entry from the cache queue into all lanes.

pub mod bytes;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod contract;
pub mod entry;
mod entry_bytes;
mod error;
pub mod lanes;
mod memory;
mod settle;
mod stats;
mod work;

pub use self::contract::WorkQueue;
pub use self::error::{NOTE_BYTES_MAX, QueueError};
pub use self::lanes::{LaneInfo, Lanes, check_name, check_note};
pub use self::memory::MemoryQueue;
pub use self::settle::{SettleReport, Settled, Taken, Ticket};
pub use self::stats::{Quarantined, QueueProblem, QueueStats, Unreadable};
pub use self::work::Work;
