//! The `dms.*` tables, each with the only module that holds SQL on it.
//!
//! A module owns its statements (texts in `sql/table`), one row type per shape with one constructor that reads columns by
//! name, and the functions or typed statements that other crates use.

pub mod cache;
pub mod cascade;
pub mod change_version;
mod columns;
pub mod comparison;
pub mod known_version;
pub mod proof;
pub mod replay;
pub mod tombstone_prune;
pub mod transactions;
