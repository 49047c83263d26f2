//! Sinks: copies of all documents outside the database. A sink converges to the content of the cache (invariant
//! CONVERGE).
//!
//! The projector delivers through this contract and knows no implementation; those live in `connectors`. Each passes
//! the suite in `conformance`, and so does `MemorySink`, the reference.
//!
//! Versions guard everything. A sink that holds version 7 of a document responds to a `put` of version 6 with
//! [`Outcome::Superseded`], and a delete is a version like any other. So every retry is harmless, in any order, for as
//! long as the sink remembers deletes. For older deletes the projector consults the tombstones before it calls `put`.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod contract;
mod delivery;
mod error;
pub mod generations;
#[cfg(any(test, feature = "conformance"))]
mod memory;

pub use self::contract::{Held, Limits, Scan, Sink};
pub use self::delivery::{Content, Delivery, DocumentKey, Outcome, RetryCause};
pub use self::error::SinkError;
#[cfg(any(test, feature = "conformance"))]
pub use self::memory::MemorySink;
