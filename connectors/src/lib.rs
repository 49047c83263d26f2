//! Implementations of the pipeline's contracts, by role: change sources, work queues and sinks.
//!
//! * [`source`]: logical replication from a slot, polling of the outbox table, and Kafka topics (our own or a Debezium
//!   connector's).
//! * [`queue`]: the durable queue on local disk, and the one on Kafka topics that several processes share.
//! * [`sink`]: a Kafka documents topic, OpenSearch, and the embedded search index.
//! * [`kafka`]: client options and error classification that the Kafka source, queue and sink share.
//! * [`private_folder`]: folders on this machine that other users may not enter.
//!
//! The crate makes no decision about documents and does not know what happens to a change. Each technology is a cargo
//! feature, on by default: `replication`, `kafka`, `local`, `opensearch`, `embedded`.

#[cfg(feature = "kafka")]
pub mod kafka;
pub mod private_folder;
pub mod queue;
pub mod sink;
pub mod source;
