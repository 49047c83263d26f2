//! Writes documents: from a body to rows, identity, edges and an outbox row, in one transaction.
//!
//! This is the only code that changes documents. A body is parsed, coerced, pruned and validated ([`body`]), its
//! references are resolved in one statement, and the write follows
//! docs/design/rules.md#rule-1 to docs/design/rules.md#rule-15: two phases, locks in one
//! order, versions drawn under the row lock, identity changes with their whole closure ([`identity`]). Statements are
//! set-based throughout: their number does not grow with the number of rows.
//!
//! The crate knows neither HTTP nor the projector, never reads the cache, and opens no connections besides those of the
//! pool that it is given. The statements on `dms` tables are in `millstream_store::table`.

mod attempt;
mod batch;
pub mod body;
mod body_reader;
mod delete;
pub mod error;
pub mod identity;
mod identity_rows;
pub mod metrics;
pub mod options;
mod references;
pub mod repair;
pub mod request;
mod resolve;
mod rows;
mod upsert;
mod upsert_request;
mod writer;

pub use batch::{BatchOptions, Lanes};
pub use body::{InvalidJsonSchema, Validators};
pub use error::WriteError;
pub use options::WriterOptions;
pub use repair::Repairer;
pub use request::{EtagMatch, Outcome, Preconditions, Written};
pub use writer::Writer;
