//! Shared by the Kafka source, queue and sink: client options, the observer of client events, error classification and the
//! partitioner.

pub(crate) mod client;
pub(crate) mod errors;
mod partition;
pub(crate) mod properties;

pub use partition::partition_of;
pub use properties::is_topic_name;
