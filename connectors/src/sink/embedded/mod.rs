//! Search with nothing installed: a tantivy index on disk, in this process.
//!
//! What it is: a sink ([`EmbeddedSink`], held to the suite of all sinks), the generations of it ([`EmbeddedStore`], one
//! folder each and a pointer file that says which is live), and an engine that answers searches from the live one.
//!
//! What it is not: a copy that must never be lost. What is answered with "done" was fsynced; a folder that is damaged all
//! the same is deleted and built anew from the source.
//!
//! # How a document is indexed
//! A document is a block of index entries (`entry`): one for each element of a collection, inner ones before the element
//! around them, and last the document itself. "One element must meet all conditions" then is a query among the entries of
//! that collection, carried over to the next entry of the level around it (`join`). All values are terms that begin with
//! the type and the field, in an encoding whose bytes are in the order of the values (`encoding`), so that ranges are
//! ranges of terms, and sorting and facets work on columns of the same encoding (`collect`).
//!
//! # Versions and crashes
//! One thread owns the writer (`writer`). It takes all puts that wait, compares each document with the version that the
//! index holds (of a deleted document too: a tombstone stays for [`DELETE_MEMORY`]), writes and commits once, and only
//! then answers. A crash loses what was not committed, and nothing of it was answered.

mod bare;
mod collect;
mod encoding;
mod entry;
mod generation;
mod join;
mod layout;
mod options;
mod query;
mod scan;
mod search;
mod sink;
mod store;
mod writer;

pub use bare::BareEntries;
pub use options::EmbeddedOptions;
pub use sink::{DELETE_MEMORY, EmbeddedSink};
pub use store::EmbeddedStore;
