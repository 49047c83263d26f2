//! Every source of change records, on a real PostgreSQL: one suite for all, and what only the replication slot has.

mod faults;
mod polling;
mod slot;
#[path = "../source_suite/mod.rs"]
mod source_suite;
mod suite;
mod support;
mod tls;
