//! The durable queue on local disk: an LSM tree (fjall), owned by one thread.
//!
//! The thread is the only one that touches the store, whose calls block. It works off what is waiting for it in one go:
//! everything that was put meanwhile goes to disk with one fsync, and only then do the callers hear of it (group
//! commit). What was settled is written without one; losing it means doing it again.
//!
//! # On disk
//! * `FORMAT`: one line with the version of all this. Another version is refused, not guessed at ([`format`]).
//! * key space `work`: (lane, document) → the entry.
//! * key space `order`: (lane, line, order, document) → nothing; each entry has exactly one row here, in the line and at
//!   the place that follow from its value. Taking walks a line from where it stopped last.
//! * key space `meta`: epoch, whose work this is, source position, and the book: how many entries each line has and from where each has to
//!   be walked after a restart; under `lane/`, the number and a name the same for each lane, its record (name, epoch,
//!   whether it is paused or removed) and its notes; and the number of the next lane, for none is used twice. What goes
//!   with entries changes in the same atomic batch as they do.
//!
//! A lane is a number in front of these keys: 0 is the stage before the cache, a sink has another. So handing an entry
//! on is one more row in the batch that removes it. A lane that is removed is only marked, and its rows are cleared away
//! in small steps when nobody asks for anything, or one step between two groups of commands.
//!
//! # In memory
//! Of the stage and of each lane: what is in flight, where each line was walked to, and rows before that point that may
//! be taken again. The first is bounded by those who take, the last by [`line::RETURNED_MAX`].

mod codec;
mod disk;
mod format;
mod handle;
mod lane;
mod line;
mod owner;
mod store;

pub use self::handle::{LocalQueue, LocalQueueOptions};
