//! Search without an external service: a tantivy index on disk, in this process.
//!
//! It consists of a sink ([`EmbeddedSink`], which passes the conformance suite of all sinks), its generations
//! ([`EmbeddedStore`]: one folder each, and a pointer file to the live one), and a search engine on the live
//! generation.
//!
//! The index is a copy that can be rebuilt. Every delivery reported as done was fsynced; a damaged folder is deleted
//! and filled again from the source.
//!
//! # How a document is indexed
//! A document is a block of index entries (`entry`): one per element of a collection, inner elements before their
//! parents, and last the document itself. "One element must meet all conditions" is then a query on the entries of that
//! collection, followed by a step to the next entry of the parent level (`parent_query`). All values are terms that
//! begin with digests of resource and field, in an encoding whose bytes have the order of the values (`encoding`). So
//! ranges of values are ranges of terms, and sorting and facets use columns of the same encoding (`collect`).
//!
//! # Versions and crashes
//! One thread owns the writer (`writer`). It takes all waiting puts, compares each document with the version in the
//! index (also of deleted documents: a tombstone stays for [`DELETE_MEMORY`]), writes and commits once, and then
//! reports the outcomes. A crash loses only puts without a reported outcome.

mod baseline;
mod collect;
mod encoding;
mod entry;
mod folder;
mod generation;
mod layout;
mod parent_query;
mod query;
mod scan;
mod search;
mod sink;
mod store;
mod writer;

pub use baseline::BaselineEntries;
pub use entry::{DELETE_MEMORY, EntryError};
pub use folder::EmbeddedOptions;
pub use sink::EmbeddedSink;
pub use store::EmbeddedStore;
