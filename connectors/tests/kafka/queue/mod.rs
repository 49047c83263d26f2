//! The durable queue on a real broker.

mod apart;
mod conformance;
mod crew;
mod rebalance;
mod support;
