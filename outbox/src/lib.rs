//! The promise "a change record exists exactly if its transaction committed", and the durable queue that work waits in.
//!
//! What it is: the change records ([`Change`]) that a write leaves in `dms.Outbox` in its own transaction ([`append()`]),
//! the ways to read them back without losing one ([`read`]), how long they are kept ([`retention`]), how far they have
//! been followed ([`progress`]) and by whom ([`relay`]), what a source of them promises ([`source::ChangeSource`]), the queue in which the
//! documents that they name wait to be rebuilt ([`queue::WorkQueue`]), and its lanes, in which what was rebuilt waits for
//! each sink ([`queue::Lanes`]). And how each of these, and each copy, knows which database it is of ([`binding`]).
//!
//! What it is not: it does not know what a document looks like, it opens no connection of its own (a client comes in),
//! and it decides nothing about the work that it keeps: cascades, rebuilds and what a sink is are the projector's.

pub mod append;
pub mod binding;
pub mod change;
pub mod clock;
mod error;
mod position;
pub mod progress;
pub mod queue;
pub mod read;
pub mod relay;
pub mod retention;
pub mod source;
mod xid;

pub use append::{APPEND_SQL, AppendParams, append};
pub use change::{Change, ChangeKind, NewChange, UnknownChangeKind};
pub use error::OutboxError;
pub use position::{Position, PositionParseError};
pub use xid::Xid8;
