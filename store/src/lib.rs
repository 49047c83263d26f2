//! PostgreSQL as the other crates see it.
//!
//! What it is: how to reach a server ([`connect`]) or to run one of our own ([`cluster`]), what went wrong when a
//! statement failed ([`error`]) and whether to try again ([`retry`]), the shared `dms.*` tables and how a database gets
//! them ([`provision`]), and the one definition of a document's effective version ([`version`]); then reading documents
//! back out of their tables.
//!
//! What it is not: it knows no HTTP, no Kafka, no search, and not what a write request is. It never decides about
//! documents; it only keeps and returns them.

pub mod calendar;
pub mod cluster;
pub mod compose;
pub mod connect;
pub mod error;
pub mod load;
pub mod provision;
pub mod query;
pub mod read;
pub mod retry;
pub mod table;
pub mod verify;
pub mod version;
