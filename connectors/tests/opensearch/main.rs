//! The search indexes on a real node: the suite of all sinks, generations, searches, and faults.

// Measurements and counts are printed.
#![allow(clippy::print_stdout)]

mod binding;
mod conformance;
mod faults;
mod generations;
mod indexes;
mod price;
mod search;
mod support;
mod templates;
mod tls;
