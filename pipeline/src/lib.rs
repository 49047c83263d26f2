//! The contracts of the pipeline: change sources, the durable work queue with its lanes, and sinks.
//!
//! The crate holds traits, their value types, in-memory implementations and the conformance suites that every
//! implementation passes. It has no database driver, Kafka client, storage engine or search engine among its
//! dependencies; implementations live in `millstream-connectors`, and `millstream-projector` uses them through the traits.
//!
//! * [`source::ChangeSource`] delivers change records ([`Change`]) in commit order, at least once, from a [`Position`] on.
//! * [`queue::WorkQueue`] holds at most one entry per document until the entry is settled; [`queue::Lanes`] adds one
//!   queue per sink.
//! * [`sink::Sink`] receives documents, guarded by their versions.
//! * [`binding::Binding`] names the database that a queue or a copy belongs to.
//! * [`clock::Clock`] and [`Backoff`] put time and delays under the control of tests.
//! * [`memory::MemoryBudget`] bounds the document bytes that a process holds.
//! * [`telemetry`] declares metrics once per crate.

mod backoff;
pub mod binding;
mod change;
pub mod clock;
pub mod error;
pub mod memory;
mod position;
pub mod queue;
pub mod sink;
pub mod source;
pub mod telemetry;

pub use backoff::{Attempts, Backoff};
pub use change::{Change, ChangeKind, NewChange, UnknownChangeKind};
pub use position::{Position, PositionParseError};
