//! Durable work queues: implementations of [`millstream_pipeline::queue::WorkQueue`] and
//! [`millstream_pipeline::queue::Lanes`].

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "local")]
pub mod local;
