//! The documents topic on a real broker: the suite of all sinks, the contract, and what goes wrong with brokers.

// Measurements and accounts are printed.
#![allow(clippy::print_stdout)]

mod conformance;
mod contract;
mod faults;
mod fencing;
mod price;
mod queue;
mod reader;
mod sasl;
mod support;
mod topic;
