//! What the tests and benches of every crate share.
//!
//! What it is: a throwaway PostgreSQL for a test process ([`cluster`]) and databases in it that take milliseconds to
//! make ([`database`]); documents to feed it ([`corpus`]); and the means to bring about, on purpose and without
//! sleeping, what happens rarely by itself: gates that hold a session at a chosen point ([`gate`]), a network that
//! fails ([`proxy`], and for single requests [`http_proxy`]), a real Kafka and a real OpenSearch ([`services`]), replication slots that go away with their database ([`slots`]), and waiting for a condition with
//! a deadline ([`wait`]).
//!
//! What it is not: a part of the program. Nothing outside tests and benches depends on it, so it panics with a message
//! where a program would return an error.

pub mod cluster;
pub mod contract;
pub mod corpus;
pub mod database;
pub mod gate;
pub mod http_client;
pub mod http_proxy;
pub mod proxy;
pub mod services;
pub mod slots;
pub mod wait;
pub mod world;

pub use cluster::TestCluster;
pub use database::TestDatabase;
pub use gate::{Gate, Holder};
pub use http_client::http_client;
pub use http_proxy::{Exchange, Fault, HttpFaultProxy};
pub use proxy::FaultProxy;
pub use services::{BrokerOptions, ConnectWorker, KafkaBroker, OpenSearchNode};
pub use wait::{wait_for, wait_until};
pub use world::World;
