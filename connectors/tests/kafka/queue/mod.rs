//! The durable queue on a real broker.

mod conformance;
mod support;
