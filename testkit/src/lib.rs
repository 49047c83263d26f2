//! Test support shared by the tests and benches of every crate.
//!
//! * [`cluster`]: a temporary PostgreSQL for one test process; [`database`]: databases in it, created in milliseconds.
//! * [`history`]: puts an earlier state of a cluster back, and makes standbys.
//! * [`corpus`]: documents to load; [`world`]: a database with its schema.
//! * [`gate`]: stops a session at a chosen point. [`proxy`]: a network that fails; [`http_proxy`]: the same for single
//!   requests.
//! * [`services`]: a real Kafka, Kafka Connect and OpenSearch.
//! * [`command`]: programs that have to succeed.
//! * [`slots`]: replication slots that are dropped with their database. [`tls`]: certificates. [`wait`]: waits for a
//!   condition with a deadline.
//!
//! Only tests and benches depend on this crate, so it panics with a message where a program would return an error.

pub mod cluster;
pub mod command;
pub mod contract;
pub mod corpus;
pub mod database;
pub mod gate;
pub mod history;
pub mod http_client;
pub mod http_proxy;
pub mod proxy;
pub mod services;
mod skip;
pub mod slots;
pub mod tls;
pub mod wait;
pub mod world;

pub use cluster::TestCluster;
pub use database::TestDatabase;
pub use gate::{Gate, Holder};
pub use history::DataCopy;
pub use http_client::http_client;
pub use http_proxy::{Exchange, Fault, HttpFaultProxy};
pub use proxy::FaultProxy;
pub use services::{BrokerOptions, ConnectWorker, KafkaBroker, OpenSearchNode, Pooler};
pub use wait::{wait_for, wait_until};
pub use world::World;
