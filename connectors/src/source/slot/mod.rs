//! Change records from a logical replication slot (pgoutput on the publication of `dms.Outbox`).
//!
//! The connection runs on its own thread. Composing and compressing elsewhere in the process cannot delay the status
//! messages that the server expects every `wal_sender_timeout`, and a consumer may pause for any time. Received changes
//! wait in two bounded buffers; when both are full the source stops reading from the server (backpressure). A
//! transaction of any size streams through in bounded memory.
//!
//! * **Order**: commit order. A batch ends with a whole transaction unless that transaction alone fills it.
//! * **Positions**: see [`millstream_pipeline::Position`]. The slot advances only to confirmed positions, and never
//!   into a transaction. After a reconnect, or after a server crash that set the slot back, the source skips changes
//!   that it has already returned.
//! * **Idle**: when no transaction is in flight, the end of the log that the server reports becomes
//!   [`millstream_pipeline::source::SourceEvent::Idle`]. Storing and confirming it releases WAL that other databases of
//!   the server write. A heartbeat (`pg_logical_emit_message`) keeps this going on a server without other writes.
//! * **Errors**: `errors` classifies them: retry with a growing pause, or stop until an operator acts.
//!
//! The source uses protocol version 1: the server sends a transaction only after it has committed.

mod assembler;
mod creation;
mod errors;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod heartbeat;
mod lifecycle;
mod link;
mod options;
mod pgoutput;
mod session;
mod source;
mod supervisor;

pub use self::lifecycle::{EnsuredSlot, SlotStatus, drop_slot, ensure_slot, free_slot, slot_status};
pub use self::options::LogicalOptions;
pub use self::source::LogicalSource;
