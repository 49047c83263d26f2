//! Indexes of all documents in OpenSearch: a sink, its generations, and the search engine on them.
//!
//! * Each resource has one index per generation, created with its first delivery, so that a small node does not hold
//!   hundreds of empty shards. All descriptor resources share one index. `names` defines the names. `mapping` derives
//!   mappings from the fields of the schema; unknown fields are stored and not searched.
//! * Every document is written with its own version (`external`), deletes included: the node refuses older versions. It
//!   keeps the versions of deletes for a day, or until it restarts; after that the ledger of tombstones protects from
//!   older versions.
//! * The node reports the result of a bulk per item, and so does the sink per delivery (`errors`). If the response
//!   breaks off, the received part counts.
//! * Writes go through an alias and require one (`require_alias`): a late write to a removed generation is refused
//!   instead of creating an unmanaged index.
//! * One alias marks the live generation. One request moves it, and every search resolves it first. So a search uses
//!   one generation only, also for resources of which that generation has no document yet.
//!
//! The index stores the body under the member `document`, byte for byte; reads return those bytes.

mod aliases;
mod analysis;
mod bulk;
mod client;
mod cluster;
mod create_index;
mod document_types;
mod errors;
mod fetch;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod generation;
mod indexes;
mod items;
mod mapping;
mod mapping_diff;
mod names;
mod options;
mod ownership;
mod request;
mod scan;
mod search;
mod sink;
mod template;

pub use indexes::OpenSearchIndexes;
pub use options::{OpenSearchOptions, OpenSearchOptionsError};
