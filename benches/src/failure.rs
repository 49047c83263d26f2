//! The error type of the benchmark.

/// Any error that ends the benchmark.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
