//! The consistency watchdog: recomputes documents one small batch after another, for as long as the process runs, and
//! records what does not agree.
//!
//! A round reads a batch of documents in one snapshot, on one connection and with a deadline per statement, recomputes
//! edges, identities and the body from rows (`store::verify`), and reads the copies in one sink by id. What differs is
//! looked at again once the pipeline has caught up: only what is wrong twice at the same version is a mismatch, so pending
//! work is none. Each mismatch leaves an [`Incident`] and is looked at again until it is mended.

mod check;
mod deps;
mod incident;
mod log;
mod options;
mod repair;
mod round;

pub use deps::{WatchdogDeps, WatchedSink};
pub use incident::{Incident, MismatchKind};
pub use log::{INCIDENTS_MAX, IncidentLog, IncidentLogError};
pub use options::{OnMismatch, WatchdogOptions};
pub use repair::RepairDocuments;
pub use round::{RoundReport, Watchdog};
