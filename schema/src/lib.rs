//! Derives a relational model, its DDL and its compiled plans from ApiSchema files.
//!
//! A set of `ApiSchema.json` files becomes an [`apischema::EffectiveSchema`] (loaded, checked, fingerprinted), then a
//! [`model::Model`] (tables, keys, constraints and indexes, free of any SQL dialect), then DDL text ([`ddl`]) and a
//! [`plan::Mapping`] (the plans that the writer, the projector and the reads follow at run time).
//!
//! The crate is a pure function: it opens no connection, has no driver and no runtime, and does no I/O beyond reading
//! the given files. The same files give the same bytes, in any order and on any machine (invariant SAME-BYTES).

pub mod apischema;
pub mod calendar;
pub mod ddl;
mod mapping;
pub mod model;
pub mod plan;
pub mod referential;
