//! The embedded index, on disk.

mod conformance;
mod support;
