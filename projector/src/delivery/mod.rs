//! The delivery: from a sink's lane in the durable queue to the sink, as fast as the sink accepts it.
//!
//! Each sink has a [`DeliveryWorker`] that is independent of all others. It takes entries from its lane, reads what the
//! cache holds of them now, sends that to the sink, and settles each entry by the sink's outcome for it. An unreachable
//! sink costs its lane at most one entry per document and does not affect other sinks (ISOLATED). A document that the
//! sink rejects is retried, then moved into the lane's quarantine, alone.
//!
//! The delivery composes no bodies and assigns no versions: it sends what is in `dms.DocumentCache` or `dms.Tombstone`.

mod attempt;
mod concurrency;
pub(crate) mod counters;
mod groups;
mod handle;
mod lane_state;
mod load;
mod round;
mod timeout_attribution;
mod worker;

pub use counters::LaneReport;
pub use handle::{DeliveryWorker, DeliveryWorkerHandle};
pub use lane_state::{DeliveryWorkerDeps, DeliveryWorkerOptions};
pub use load::deliverable;
