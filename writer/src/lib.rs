//! A document in; rows, identity, edges and an outbox row out, in one transaction.
//!
//! What it is: the only code that changes documents. A body is parsed, coerced, pruned and validated ([`body`]), its
//! references are resolved in one statement, and what is stored follows
//! docs/design/rules.md#rule-1 to docs/design/rules.md#rule-15: two phases, locks in one
//! order, versions drawn under the row lock, identity changes with their whole closure ([`identity`]). Statements are
//! set-based throughout: their number does not grow with the number of rows.
//!
//! What it is not: it knows no HTTP and no projector, never reads the cache, and opens no connection of its own beyond
//! the pool that it is given.

mod attempt;
pub mod body;
mod delete;
pub mod error;
pub mod identity;
mod locked;
pub mod options;
mod persist;
pub mod request;
mod resolve;
mod rows;
mod transaction;
mod upsert;
mod writer;

pub use body::Validators;
pub use error::WriteError;
pub use options::WriterOptions;
pub use request::{EtagMatch, Outcome, Preconditions, Written};
pub use writer::Writer;
