//! Search without an external service: a tantivy index on disk, in this process.
//!
//! It consists of a sink ([`EmbeddedSink`], which passes the conformance suite of all sinks), its generations
//! ([`EmbeddedStore`]: one folder each, and a pointer file to the live one), and a search engine on the live
//! generation.
//!
//! The index is a copy that can be rebuilt. Every delivery reported as done was fsynced. An operator repairs a damaged
//! folder by deleting it and filling it again.
//!
//! # How a document is indexed
//! A document is a block of index entries (`entry`): one per element of a collection, inner elements before their
//! parents, and last the document itself. "One element must meet all conditions" is then a query on the entries of that
//! collection, followed by a step to the next entry of the parent level (`parent_query`).
//!
//! Every value is a term: digests of the resource and the field, then the value in an encoding whose byte order is the
//! order of the values (`encoding`). A range of values is therefore a range of terms. Sorting and facets read columns
//! in the same encoding (`collect`).
//!
//! # Searches
//! A search runs on a blocking thread, as many at a time as the machine has cores; further ones wait. A search whose future
//! is dropped stops soon (`stop`), so that clients that give up leave no work behind.
//!
//! # Versions and crashes
//! One thread owns the writer (`writer`). It takes all waiting puts and compares each document with the version in the
//! index, including the versions of deleted documents, whose tombstones stay for [`DELETE_MEMORY`]. It then writes and
//! commits once, and reports the outcomes. A crash loses only puts without a reported outcome.

mod baseline;
mod collect;
mod encoding;
mod entry;
mod facets;
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
