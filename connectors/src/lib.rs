//! Where change records come from and where rebuilt documents go.
//!
//! What it is: implementations of traits that other crates own. Sources of change records
//! ([`millstream_outbox::source::ChangeSource`]): [`logical`] replication from a slot, and [`poll`]ing for servers where
//! replication is not granted. Sinks of rebuilt documents ([`millstream_projector::sink::Sink`]): [`kafka`], a documents topic;
//! [`opensearch`] and [`embedded`], indexes that can be searched.
//!
//! What it is not: it decides nothing about documents, and it does not know what is done with a change.

pub mod embedded;
pub mod kafka;
pub mod logical;
pub mod opensearch;
mod policy;
pub mod poll;
