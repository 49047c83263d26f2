//! The outbox table: change records that exist exactly if their transaction committed.
//!
//! A write leaves its change records ([`millstream_pipeline::Change`]) in `dms.Outbox` in its own transaction
//! ([`append()`]). The other modules read them back without losing one ([`read`]), keep them as long as they are needed
//! ([`retention`]), remember how far they have been followed ([`progress`]) and by which process ([`relay`]).
//!
//! The crate does not know what a document looks like and opens no connections: callers pass a client. Queues, sources and
//! sinks are contracts of `millstream-pipeline`.

pub mod append;
mod error;
pub mod progress;
pub mod read;
pub mod relay;
pub mod retention;
mod source_identity;
mod xid;

pub use append::{APPEND_SQL, AppendParams, append};
pub use error::OutboxError;
pub use source_identity::source_identity;
pub use xid::Xid8;
