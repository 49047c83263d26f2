//! The durable queue on local disk: an LSM tree (fjall), owned by one thread.
//!
//! The thread is the only one that touches the store, whose calls block. It works off what is waiting for it in one go:
//! everything that was put meanwhile goes to disk with one fsync, and only then do the callers hear of it (group
//! commit). What was settled is written without one; losing it means doing it again.
//!
//! # On disk
//! * `FORMAT`: one line with the version of all this. Another version is refused, not guessed at.
//! * key space `work`: (lane, document) → the entry.
//! * key space `order`: (lane, line, order, document) → nothing; each entry has exactly one row here, in the line and at
//!   the place that follow from its value. Taking walks a line from where it stopped last.
//! * key space `meta`: epoch, source position, and the book: how many entries each line has and from where each has to
//!   be walked after a restart. All of it changes in the same atomic batch as the entries.
//!
//! Keys begin with a lane, which is 0 today: the stage before the cache. A sink's lane is another number, and moving an
//! entry into one is one more row in the same batch.
//!
//! # In memory
//! What is in flight, where each line was walked to, and rows before that point that may be taken again. The first is
//! bounded by those who take, the last by [`line::RETURNED_MAX`].

mod codec;
mod handle;
mod line;
mod owner;
mod store;

pub use self::handle::{LocalQueue, LocalQueueOptions};
