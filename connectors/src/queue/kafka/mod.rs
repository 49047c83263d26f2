//! The durable queue in Kafka, for relays, projectors and sinks that run as separate processes.
//!
//! # Topics
//! * `PREFIX.work`: work, keyed by document, so that all work of a document is in one partition. Never compacted: the
//!   later of two records of a document does not repeat what the earlier one asked for.
//! * `PREFIX.lane.NAME.GENERATION`: the same for a lane, compacted by document.
//! * `….quarantine` beside each: the entries in quarantine, compacted.
//! * `PREFIX.control`: epoch, position, lanes, notes, compacted ([`control`]).
//!
//! # Life of an entry
//! 1. [`queue::KafkaQueue`] puts it with the producer: all copies in sync acknowledge the records, then the position is
//!    written.
//! 2. The thread of the group member that owns the partition ([`member`]) reads it and sends it as an event.
//! 3. The topic's consumer task ([`consumer`]) adds it to its [`window`], where it is coalesced by the rules that all
//!    queues share, and hands it out to a taker.
//! 4. Settling writes the lanes first, then the entry, if it stays (at the end of its partition) or goes into quarantine,
//!    and only then does the record count as finished. The committed offset of a partition never passes its first
//!    unfinished record.
//! 5. Committed records are truncated periodically.
//!
//! # Limits of a shared queue
//! * No order between members: each hands out the oldest entry that it has read.
//! * A document is worked on by one member as long as both members know their assignments. A process that was stopped for
//!   longer than a session may not know that it lost them; its commits are refused, its tickets are invalid, and its
//!   writes downstream are guarded by versions.
//! * When a partition moves, entries that are in flight may be processed twice.
//! * [`millstream_pipeline::queue::QueueStats`] counts a record that this process has not read as one entry, and knows the
//!   ages of entries that it has read only.
//!
//! # In memory
//! A member holds its window (`window_max` entries, and `delayed_max` delayed ones) and the quarantine. It stops reading
//! while one of the two is full; a few batches that were read before it stopped still arrive.

mod consumer;
mod control;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod lane_topics;
mod member;
mod options;
mod producer;
mod quarantine;
mod queue;
mod record;
mod table;
mod topics;
mod watermark;
mod window;
mod work_topic;

pub use options::KafkaQueueOptions;
pub use queue::KafkaQueue;
pub use work_topic::Membership;
