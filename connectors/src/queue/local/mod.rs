//! The durable queue on local disk: an LSM tree (fjall), owned by one thread.
//!
//! Only the owner thread touches the store, because calls of the store block. The thread handles all waiting commands
//! as one group: it writes their changes to disk with one fsync, then sends the replies (group commit). Settlements are
//! written without fsync; if a crash loses one, its work is repeated.
//!
//! A command passes from the handle ([`queue`]) over a channel to the owner thread ([`owner`]), which calls the lane
//! ([`lane`]) that the command concerns.
//!
//! # On disk
//! * `FORMAT`: one line with the version of the layout. An unknown version is refused ([`format`]).
//! * key space `work`: (lane, document) → the entry.
//! * key space `order`: (lane, line, order, document) → nothing. A [line](millstream_pipeline::queue::entry::Line)
//!   holds the entries of one class in order. Each entry has exactly one row; its value determines the line and the
//!   order. Taking continues in each line at a cursor.
//! * key space `meta`, for the cache queue: epoch, binding, source position, `book` (for each line, its number of
//!   entries and the row where the walk starts after a restart), and the number of the next lane. Lane numbers are not
//!   reused.
//! * key space `meta`, under `lane/` and a lane's number: its position, `book`, record (name, epoch, paused or removed)
//!   and notes.
//!
//! Values in `meta` that describe entries change in the same atomic batch as the entries.
//!
//! A lane is a number at the start of these keys: 0 is the cache queue, every other number a sink's lane. Forwarding an
//! entry to a lane therefore adds one row to the batch that removes the entry from the cache queue. Removing a lane
//! only marks it; the thread deletes its rows in small steps, while no command waits or one step after each group.
//!
//! # In memory
//! For the cache queue and for each lane: the entries in flight, the cursor of each line, and the rows before the
//! cursor that may be taken again. The callers of `take` bound the entries in flight; [`line::RETURNED_MAX`] bounds the
//! rows.

mod codec;
mod command;
mod disk;
mod format;
mod lane;
mod line;
mod owner;
mod queue;
mod space;
mod store;
mod sweep;

pub use self::queue::{LocalQueue, LocalQueueOptions};
