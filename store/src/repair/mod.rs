//! Recomputation for repairs: what the rows of a document say that its derived rows have to be.
//!
//! [`plan_rows`] compares everything but identities, [`compute_identities`] computes identities from rows alone, and
//! [`descriptor_referrers`] finds the documents that embed a descriptor's URI. The functions only read, in whatever
//! transaction the client has open: in a snapshot for a dry run, under the writer's locks for the repair itself
//! (`millstream_writer::repair`). The audit computes the same values by its own code, so it checks a repair.

mod action;
mod descriptor;
mod identities;
mod rows;

pub use action::{DocumentRepair, RepairAction};
pub use descriptor::descriptor_referrers;
pub use identities::compute_identities;
pub use rows::{CacheRepair, DescriptorRepair, RowPlan, plan_rows};
