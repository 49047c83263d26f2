//! Topics on a real broker. Documents: the suite of all sinks, the contract, and faults of brokers. Changes: the suite
//! of all sources, and faults of their topics.

// Measurements and counts are printed.
#![allow(clippy::print_stdout)]

mod conformance;
mod contract;
mod faults;
mod fencing;
mod fixtures;
mod price;
mod publisher;
mod queue;
mod reader;
mod sasl;
mod source_bed;
mod source_faults;
mod source_price;
#[path = "../source_suite/mod.rs"]
mod source_suite;
mod sources;
mod support;
mod tls;
mod topic;
