//! Sinks: implementations of [`millstream_pipeline::sink::Sink`] and
//! [`millstream_pipeline::sink::generations::Generations`].

#[cfg(feature = "embedded")]
pub mod embedded;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "opensearch")]
pub mod opensearch;
