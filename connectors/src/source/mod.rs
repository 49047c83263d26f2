//! Change sources: implementations of [`millstream_pipeline::source::ChangeSource`].

mod failure;
pub mod poll;
#[cfg(feature = "replication")]
pub mod slot;
#[cfg(feature = "kafka")]
pub mod topic;
