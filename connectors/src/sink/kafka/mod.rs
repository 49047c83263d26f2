//! A Kafka topic that holds the newest state of every document: the documents topic, contract version 1.
//!
//! `docs/reference/topic-contract.md` is the page for readers of the topic.
//!
//! * `envelope` encodes a record: key, value and headers. The bytes of the document are copied unchanged.
//! * The broker does not compare versions, so the order of the log must be that of the versions, and only one process
//!   may write. Each `put` is one transaction of one of two producers, whose `transactional.id`s derive from the
//!   topic's name: the process that opens them next fences earlier ones, and their unfinished transactions are rolled
//!   back. `writer` has the details, and `fence` the record that names the writer.
//! * A delivery is done when its own report succeeded *and* the transaction committed.
//! * The topic's settings (compaction, partitions, replication, sizes) are created once and compared at every start.
//!
//! Blocking calls of librdkafka run on tokio's blocking threads.

mod clients;
mod envelope;
mod fence;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod options;
mod scan;
mod sink;
mod topic;
mod writer;

pub use options::{KafkaOptions, KafkaOptionsError, topic_name};
pub use sink::KafkaSink;
