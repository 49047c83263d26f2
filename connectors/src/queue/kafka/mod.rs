//! The durable queue in Kafka: what the local queue is to one machine, for relays, projectors and sinks that run apart.
//!
//! # Topics
//! * `PREFIX.work`: work, keyed by document, so that one document's work is in one partition. Never compacted: of two
//!   records of a document the later does not say what the earlier one asked for.
//! * `PREFIX.lane.NAME.GENERATION`: the same for a lane, compacted by document.
//! * `….quarantine` beside each: the entries in quarantine, compacted.
//! * `PREFIX.control`: epoch, position, lanes, notes, compacted ([`control`]).
//!
//! # Life of an entry
//! Put: acknowledged by all copies in sync, then the position. Read by the one member of the group that has the
//! partition, and coalesced in its [`window`] by the rules that all queues have. Taken, and settled: the lanes are
//! written first, then what goes on of the entry (again, at the end of its partition) or its quarantine, and only then
//! does the record count as finished. The group's offset of a partition is never beyond its first record that does not.
//! What is committed is removed from the topic now and then ([`trim`]).
//!
//! # What a shared queue cannot promise
//! * Order between members: each hands out the oldest of what it has in hand.
//! * A document is worked on by one member as long as both own what they believe to own. A process that was stopped for
//!   longer than a session may still believe; its commits are refused, its tickets good for nothing, and what it writes
//!   is guarded by versions.
//! * An entry is on its way for a moment when its partition moves: what is in flight then may be done twice.
//! * [`millstream_pipeline::queue::QueueStats`] counts records that nobody here has read as one entry each, and knows the
//!   age of what was read here only.
//!
//! # In memory
//! A member holds its window (`window_max` entries, `delayed_max` beside them that wait for a time) and the quarantine.
//! While one of the two is full it reads no more.

mod asker;
mod chores;
mod clients;
mod control;
mod handle;
mod hub;
mod member;
mod names;
mod options;
mod patience;
mod producer;
mod record;
mod settle;
mod station;
mod table;
mod topics;
mod trim;
mod window;

pub use handle::KafkaQueue;
pub use options::KafkaQueueOptions;
pub use station::Membership;
