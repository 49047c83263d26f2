//! ApiSchema files in, a relational model, its DDL and its compiled plans out.
//!
//! What it is: a pure function. A set of `ApiSchema.json` files becomes an [`apischema::EffectiveSchema`] (loaded,
//! checked, fingerprinted), that becomes a [`model::Model`] (tables, keys, constraints and indexes, free of any SQL
//! dialect), and that becomes DDL text ([`ddl`]) and a [`plan::Mapping`] (what the writer, the projector and the reads
//! walk at run time).
//!
//! What it is not: it opens no connection, knows no driver and no runtime, and does no I/O beyond reading the files it
//! is given. The same files give the same bytes, in any order and on any machine (invariant SAME-BYTES).

pub mod apischema;
pub mod calendar;
pub mod ddl;
pub mod model;
pub mod plan;
pub mod referential;
