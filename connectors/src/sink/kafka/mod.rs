//! A Kafka topic that holds the newest state of every document: the documents topic, contract version 1.
//!
//! `docs/reference/topic-contract.md` is the page for those who read the topic; this one is for those who work on its writer.
//!
//! * [`envelope`](self) gives a record its key, value and headers; the bytes of the document go in as they came.
//! * The broker guards no versions, so the order of the log has to be that of the versions, and nobody else may write
//!   to it. Each `put` is one transaction of one of two producers whose `transactional.id`s are made of the topic's
//!   name: whoever opens them next fences those before, whose unfinished transaction is rolled back. `writer` tells the
//!   rest.
//! * A delivery is done when its own report said so *and* the transaction committed.
//! * What the topic is (compacted, partitions, copies, sizes) is made once and compared at every start.
//!
//! librdkafka does the protocol. Its calls that block run on the threads that tokio keeps for such.

mod clients;
mod envelope;
mod mark;
mod options;
mod scan;
mod sink;
mod topic;
mod writer;

pub use options::{KafkaOptions, OptionsError, topic_name};
pub use sink::KafkaSink;
