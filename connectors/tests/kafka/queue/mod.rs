//! The durable queue on a real broker.

mod conformance;
mod members;
mod processes;
mod rebalance;
mod support;
