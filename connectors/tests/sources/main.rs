//! The sources that read PostgreSQL directly: the suite of all sources, and tests of the replication slot.

mod faults;
mod polling;
mod slot;
#[path = "../source_suite/mod.rs"]
mod source_suite;
mod suite;
mod support;
mod tls;
