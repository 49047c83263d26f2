//! Generations: full builds of a sink's content, one of which is live.
//!
//! An index over documents is built again when its mappings change or its content cannot be trusted. A new
//! generation is created empty, filled from its own lane, compared, and swapped in. The previous one stays until it is
//! removed, so a rollback is another swap.
//!
//! This contract moves no documents and knows no lanes: a builder delivers to [`Generations::sink`] as to any other
//! sink. Every step may be cut off by a crash and repeated: the state is read from the sink itself and stored nowhere
//! else.

use super::contract::Sink;
use super::error::SinkError;
use futures::future::BoxFuture;
use std::sync::Arc;

/// A sink whose content can be built from scratch beside the live content, and swapped in.
pub trait Generations: Send + Sync + 'static {
    /// Names the sink and its place for messages, without secrets.
    fn describe(&self) -> String;

    /// Lists all generations, ascending. Exactly one is live once anything was prepared.
    ///
    /// # Errors
    /// When the sink cannot be reached or returns an invalid response.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Generation>, SinkError>>;

    /// Creates the next generation, empty and not live, with the mappings of this process's schema. Returns its number,
    /// which is never used twice.
    ///
    /// # Errors
    /// When the sink cannot be reached or refuses.
    fn create(&self) -> BoxFuture<'_, Result<u32, SinkError>>;

    /// Returns a sink that writes to and reads from this generation only, live or not. Does not contact the server:
    /// [`Sink::prepare`] finds out whether the generation exists.
    ///
    /// # Errors
    /// When `number` cannot be that of a generation.
    fn sink(&self, number: u32) -> Result<Arc<dyn Sink>, SinkError>;

    /// Makes `number` the live generation, for all document types at the same moment, including types without
    /// documents.
    ///
    /// # Errors
    /// [`SinkError::Incompatible`] when the generation does not exist. After [`SinkError::Unavailable`] the swap may have
    /// happened or not; repeating it is harmless.
    fn swap(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Removes a generation that is not live. Later writes to it are refused and do not bring it back.
    ///
    /// # Errors
    /// [`SinkError::Incompatible`] when the generation is live or does not exist.
    fn remove(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Returns the number of the live generation. Creates generation 1 and makes it live if there is none.
    ///
    /// # Errors
    /// When the sink cannot be reached or is not set up as required.
    fn live(&self) -> BoxFuture<'_, Result<u32, SinkError>>;
}

/// One build of a sink's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Counts up from 1.
    pub number: u32,
    /// Searches read this generation.
    pub live: bool,
    /// Creation time in milliseconds since 1970.
    pub created_at_ms: u64,
    /// Searchable documents.
    pub documents: u64,
    /// Bytes on disk, replicas not counted.
    pub bytes: u64,
    /// Hash of the schema that its mappings were made from.
    pub schema_hash: String,
    /// Its mappings equal those that this process's schema gives.
    pub mapping_current: bool,
}
