//! The durable queue on a real broker.

mod conformance;
mod faults;
mod members;
mod processes;
mod rebalance;
mod support;
