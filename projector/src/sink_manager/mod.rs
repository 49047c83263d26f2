//! The sink manager: one lane, one sink and one delivery worker per copy, added and removed while everything runs.
//!
//! It runs the list of lanes in the durable queue ([`adopt`]). Adding a sink creates its lane first, so that every
//! later change is enqueued for it, and then fills it with the existing documents ([`crate::replay`]). Removing a sink
//! ends its worker and then removes the lane with all its entries. A sink that cannot be opened keeps its lane and is
//! retried.
//!
//! It knows no concrete sink: a [`SinkFactory`] opens the sink that a lane's name stands for.

mod adopt;
mod deps;
mod manager;
pub(crate) mod report;
mod runtime;

pub use deps::{SinkFactory, SinkManagerDeps, SinkManagerError};
pub use manager::{SinkManager, backfill};
pub use report::{LaneStatus, ReplayReport};
