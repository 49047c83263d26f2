//! Change records from a logical replication slot (pgoutput on the publication of `dms.Outbox`).
//!
//! A thread of its own runs the connection, so that composing and compressing elsewhere cannot starve the status
//! messages that the server wants to see every `wal_sender_timeout`: a consumer may stay away for any time. What it
//! received waits in two bounded buffers; when they are full the server is left waiting, and a transaction of any size
//! streams through in bounded memory.
//!
//! * **Order**: commit order. A batch ends with a whole transaction unless that alone fills it.
//! * **Positions**: see [`millstream_pipeline::Position`]. The slot moves only as far as was confirmed, and never into a
//!   transaction. After a reconnect, or after a server crash that set the slot back, what was handed out before is
//!   skipped.
//! * **Idle**: what the server reports as the end of its log, when nothing is in flight, comes out as
//!   [`millstream_pipeline::source::SourceEvent::Idle`]; storing and confirming it frees the log that other databases
//!   write. A heartbeat (`pg_logical_emit_message`) keeps that going where the server has nothing to say.
//! * **Errors**: the table in `crate::policy` says what is tried again (with growing pauses) and what somebody has to see to.
//!
//! Protocol 1 is spoken: nothing of a transaction arrives before it has committed.

mod assembler;
mod heartbeat;
mod link;
mod options;
mod pgoutput;
mod policy;
mod session;
mod slot;
mod source;
mod supervisor;

pub use self::options::LogicalOptions;
pub use self::slot::{EnsuredSlot, SlotStatus, drop_slot, ensure_slot, free_slot, slot_status};
pub use self::source::LogicalSource;
