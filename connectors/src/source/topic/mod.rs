//! Change records from a Kafka topic: our own, which a [`Publisher`] fills, or one that a Debezium connector fills.
//!
//! `docs/explanation/sources.md` is the page for those who run it; this one is for those who work on it.
//!
//! * **Order**: that of each partition. A topic of one partition has the order of its writer, which is that of the commits.
//!   With several there is no order of all changes; the records of a key keep theirs. The queue needs no more: the
//!   largest version of a document wins, and obligations are added up.
//! * **Positions**: `X:0` means that the next offsets of all partitions add up to `X`, so with one partition it *is* the
//!   next offset, and the topic is read on from there whatever the group says. With several the offsets that were
//!   committed for the consumer group say where the sum lies; see `ledger`.
//! * **Group**: it only keeps offsets. Nothing is subscribed to and nothing rebalances: one source reads all partitions.
//!   Offsets are committed as far as [`confirm`] allows, so what is committed is never ahead of the queue that is safe.
//! * **Transactions of the writer**: only what was committed is read.
//! * **Errors**: a broker that cannot be reached is tried again by librdkafka for as long as it takes, and shows in the
//!   status. Records that the topic no longer has are [`Lost`]; offsets beyond the stored position are a [`Gap`]; a
//!   record that cannot be read is [`Unreadable`] and is not passed over. `policy` is the table.
//!
//! What a record means is known in `form` alone.
//!
//! [`confirm`]: millstream_pipeline::source::ChangeSource::confirm
//! [`Lost`]: millstream_pipeline::source::SourceError::Lost
//! [`Gap`]: millstream_pipeline::source::SourceError::Gap
//! [`Unreadable`]: millstream_pipeline::source::SourceError::Unreadable

mod bookmark;
mod client;
mod end;
mod form;
mod ledger;
mod open;
mod options;
mod policy;
mod publisher;
mod source;
mod topic;
mod writer;

pub use bookmark::begin_anew;
pub use end::TopicEnd;
pub use form::{RecordForm, UnknownRecordForm};
pub use options::KafkaSourceOptions;
pub use publisher::{Publisher, PublisherStatus};
pub use source::KafkaSource;
pub use topic::ChangeTopicOptions;
pub use writer::{ChangeTopicError, ChangeTopicWriter, relay};
