//! Where change records come from and where rebuilt documents go.
//!
//! What it is: implementations of traits that other crates own. Sources of change records
//! ([`millstream_outbox::source::ChangeSource`]): [`logical`] replication from a slot, [`poll`]ing for servers where
//! replication is not granted, and topics of Kafka ([`kafka_source`]), our own or a Debezium connector's. Sinks of rebuilt
//! documents ([`millstream_projector::sink::Sink`]): [`kafka`], a documents topic; [`opensearch`] and [`embedded`], indexes
//! that can be searched. And the durable queue on topics of Kafka, for several processes to share ([`kafka::KafkaQueue`]).
//!
//! What it is not: it decides nothing about documents, and it does not know what is done with a change.

pub mod embedded;
pub mod kafka;
pub mod kafka_source;
pub mod logical;
pub mod opensearch;
mod policy;
pub mod poll;
