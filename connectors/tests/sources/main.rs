//! Every source of change records, on a real PostgreSQL: one suite for all, and what only the replication slot has.

mod faults;
mod polling;
mod slot;
mod suite;
mod support;
