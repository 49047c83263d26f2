//! Change records from a Kafka topic: Millstream's own, which a `Publisher` fills, or one that a Debezium connector
//! fills.
//!
//! `docs/explanation/sources.md` is the operators' page.
//!
//! * **Order**: that of each partition. A topic of one partition has the order of its writer, which is the order of
//!   commits. With several partitions changes have no total order; the records of one key keep theirs. The queue needs no
//!   more: the largest version of a document wins, and pending work is merged.
//! * **Positions**: `X:0` means that the next offsets of all partitions add up to `X`. With one partition it *is* the
//!   next offset, and the source continues there, independent of the group. With several, the offsets that were
//!   committed for the consumer group determine the partitions' shares of the sum; see `ledger`.
//! * **Group**: only stores offsets. The source does not subscribe and never rebalances: one source reads all
//!   partitions. It commits offsets as far as [`confirm`] allows, so committed offsets are never ahead of the durable
//!   queue.
//! * **Transactions of the writer**: the source reads committed records only.
//! * **Errors**: librdkafka retries unreachable brokers without limit, and the status shows it. Records that the topic
//!   no longer has are [`Lost`]; offsets beyond the stored position are a [`Gap`]; a record that cannot be decoded is
//!   [`Unreadable`] and is not skipped. `errors` is the classification.
//!
//! Only `form` knows the encodings of records.
//!
//! [`confirm`]: millstream_pipeline::source::ChangeSource::confirm
//! [`Lost`]: millstream_pipeline::source::SourceError::Lost
//! [`Gap`]: millstream_pipeline::source::SourceError::Gap
//! [`Unreadable`]: millstream_pipeline::source::SourceError::Unreadable

mod change_topic;
mod client;
mod compaction;
mod end;
mod errors;
mod form;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ledger;
mod open;
mod options;
#[cfg(feature = "replication")]
mod publisher;
mod source;
mod writer;

pub use change_topic::{ChangeTopicError, ChangeTopicOptions};
pub use end::{TopicEnd, start_at_end};
pub use form::{RecordForm, UnknownRecordForm};
pub use options::KafkaSourceOptions;
#[cfg(feature = "replication")]
pub use publisher::{Publisher, PublisherStatus};
pub use source::KafkaSource;
pub use writer::{ChangeTopicWriter, relay};
