//! Real services for one test process: Kafka brokers ([`KafkaBroker`]), a Kafka Connect worker ([`ConnectWorker`]), an
//! OpenSearch node ([`OpenSearchNode`]) and PgBouncer ([`Pooler`]).
//!
//! `scripts/services` installs and executes them (docs/reference/services.md). A node is a child of this process, so that tests
//! can kill, pause and restart it. A shell that waits for the end of this process removes the rest ([`crate::cluster`]
//! explains why a shell).

mod connect;
mod kafka;
mod node;
mod opensearch;
mod pooler;

pub use connect::ConnectWorker;
pub use kafka::{BrokerOptions, KafkaBroker};
pub use opensearch::OpenSearchNode;
pub use pooler::Pooler;
