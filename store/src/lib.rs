//! PostgreSQL for the other crates.
//!
//! * [`connect`] reaches a server, [`cluster`] runs one; [`error`] classifies failures, [`retry`] repeats transactions.
//! * [`provision`] creates the shared `dms.*` tables, [`table`] owns every statement on them, and [`transaction`] sends
//!   the statements of a write in pipelines. [`version`] is the one definition of a document's effective version.
//! * [`load`], [`compose`], [`read`] and [`query`] turn rows back into documents; [`verify`] audits a database.
//!
//! The crate knows neither HTTP, Kafka and search, nor what a write request is. It stores and returns documents; it
//! never decides about them.

pub mod calendar;
pub mod cluster;
pub mod compose;
pub mod connect;
pub mod error;
pub mod load;
pub mod metrics;
pub mod origin;
pub mod provision;
pub mod query;
pub mod read;
pub mod repair;
pub mod retry;
pub mod table;
pub mod transaction;
pub mod verify;
pub mod version;
pub mod xid;
