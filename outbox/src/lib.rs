//! The outbox table: change records that exist exactly if their transaction committed.
//!
//! A write leaves its change records ([`millstream_pipeline::Change`]) in `dms.Outbox` in its own transaction
//! ([`append()`]). The other modules read them back without losing one ([`read`]), keep them as long as they are needed
//! ([`retention`]), and store how far a consumer has followed them ([`progress`]) and which process may do so
//! ([`relay`]).
//!
//! The crate does not know what a document looks like and opens no connections: callers pass a client. Its SQL is in
//! `millstream_store::table`. Queues, sources and sinks are contracts of `millstream-pipeline`.

mod append;
mod error;
pub mod progress;
pub mod read;
pub mod relay;
pub mod retention;
mod source_identity;

pub use append::{add, append};
pub use error::OutboxError;
pub use source_identity::source_identity;
