//! The `dms.*` tables: the only modules of the project that hold SQL on them, one per table and one per query over several.
//!
//! A module owns its statements (texts in `sql/table`), one row type per shape with one constructor that reads columns
//! by name, and the functions that other crates call. Functions that take a [`Pipeline`](crate::transaction::Pipeline)
//! add their statement to it; all others send it and wait for its rows.
//!
//! `tests/explain.rs` plans every statement file and lists the sequential scans that are intended.

pub mod audit;
pub mod cache;
pub mod cascade;
pub mod comparison;
pub mod descriptor;
pub mod document;
pub mod document_body;
pub mod edge;
pub mod effective_schema;
pub mod history;
pub mod identity;
pub mod identity_lock;
pub mod known_version;
pub mod outbox;
pub mod outbox_partition;
pub mod progress;
pub mod proof;
pub mod query;
pub mod replay;
pub mod resolution;
pub mod resource_key;
pub mod row_size;
pub mod sequence;
pub mod server;
pub mod tombstone;
pub mod transactions;
