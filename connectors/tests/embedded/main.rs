//! The embedded index, on disk.

mod analysis;
mod conformance;
mod crash;
mod folder;
mod generations;
mod price;
mod relevance;
mod searches;
mod support;
