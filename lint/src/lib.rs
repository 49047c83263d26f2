//! Checks of the source that neither the compiler nor clippy makes: vocabulary, type names, file cycles, and where SQL and
//! positional column reads may stand.
//!
//! `make lint` runs the binary over the files that git tracks. Each check is a function from sources to findings, so its
//! test plants an offence and expects to see it.

pub mod columns;
pub mod cycles;
pub mod language;
pub mod names;
pub mod source;
pub mod sql;

pub use source::{Finding, Module, SourceFile};
