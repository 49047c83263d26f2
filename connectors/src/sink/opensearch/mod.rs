//! Indexes of all documents in OpenSearch: a sink, its generations, and the searches over them.
//!
//! * One index for each type of documents and generation, made with its first document, so that a small node is not asked
//!   for hundreds of shards; all descriptor types share one ([`names`](self) says what they are called). Mappings come from
//!   the fields of the schema, by [`mapping`](self); what the schema does not know is kept and not searched.
//! * Every document is written with its own version (`external`), deletes too: the node refuses what is older. It remembers
//!   the versions of deletes for a day, or until it is started again; then the ledger of tombstones has to answer.
//! * A bulk is answered item by item, and so is each delivery ([`outcome`](self)). Of an answer that breaks off, the part
//!   that came counts.
//! * Writes go through an alias and demand one (`require_alias`): what comes late for a generation that was removed is
//!   refused, instead of making an index that nobody knows of.
//! * Which generation is live is one alias. It is moved by one request, and searches ask for it first: so they are
//!   answered from one generation, for types too of which it has no document yet.
//!
//! The body lies in the index under the member `document` as it came, byte for byte; reading it gives those bytes back.

mod aliases;
mod analysis;
mod bulk;
mod client;
mod cluster;
mod difference;
mod fetch;
mod indexes;
mod items;
mod make;
mod mapping;
mod names;
mod options;
mod outcome;
mod request;
mod scan;
mod search;
mod single;
mod sink;
mod template;
mod types;
mod whose;

pub use indexes::OpenSearchIndexes;
pub use options::{OpenSearchOptions, OptionsError};
