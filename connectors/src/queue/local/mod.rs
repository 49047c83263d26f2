//! The durable queue on local disk: an LSM tree (fjall), owned by one thread.
//!
//! Only the thread touches the store, whose calls block. It handles the commands that are waiting as one group: all their
//! changes go to disk with one fsync, then the callers get their replies (group commit). Settlements are written without
//! fsync; a crash that loses one repeats its work.
//!
//! A command takes two hops: from the handle ([`queue`]) over a channel to the owner thread ([`owner`]), which calls the
//! lane ([`lane`]) that it concerns.
//!
//! # On disk
//! * `FORMAT`: one line with the version of the layout. An unknown version is refused ([`format`]).
//! * key space `work`: (lane, document) → the entry.
//! * key space `order`: (lane, line, order, document) → nothing. Each entry has exactly one row here, in the line and at
//!   the place that follow from its value. Taking walks a line from where it stopped last.
//! * key space `meta`: epoch, binding, source position, and for each line its number of entries and the row from which it
//!   is walked after a restart (`book`). Under `lane/`, the lane's number and a name: the same for each lane, its record
//!   (name, epoch, paused or removed) and its notes. Also the number of the next lane; numbers are not reused. Values that
//!   describe entries change in the same atomic batch as the entries.
//!
//! A lane is a number in front of these keys: 0 is the cache queue, every other number a sink's lane. So a delivery to a
//! lane is one more row in the batch that removes the entry from the cache queue. A removed lane is only marked; its rows
//! are cleared in small steps while no commands arrive, or one step between two groups of commands.
//!
//! # In memory
//! Of the cache queue and of each lane: the entries in flight, the cursor of each line, and rows before the cursor that
//! may be taken again. The takers bound the first, [`line::RETURNED_MAX`] the last.

mod codec;
mod disk;
mod format;
mod lane;
mod line;
mod owner;
mod queue;
mod store;
mod sweep;

pub use self::queue::{LocalQueue, LocalQueueOptions};
