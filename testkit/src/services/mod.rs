//! Real services beside PostgreSQL, for one test process: brokers of Kafka ([`KafkaBroker`]), a Kafka Connect worker
//! ([`ConnectWorker`]) and a node of OpenSearch ([`OpenSearchNode`]).
//!
//! `scripts/services` installs them and becomes them; docs/reference/services.md is its contract. A node is a child of this
//! process, so it can be killed, halted and started again, and a shell that waits for our end removes what is left
//! ([`crate::cluster`] says why a shell).

mod connect;
mod kafka;
mod node;
mod opensearch;

pub use connect::ConnectWorker;
pub use kafka::{BrokerOptions, KafkaBroker};
pub use opensearch::OpenSearchNode;
