//! Sinks whose content can be built anew beside what is live.
//!
//! What it is: the contract that an index over documents keeps when its mappings have to change, or when its content is
//! no longer trusted. A new generation is made empty, fed from a lane of its own, compared, and swapped in; the one
//! before it stays until it is removed, so that a swap back is all that a rollback is.
//!
//! What it is not: it moves no documents and knows no lane. Who builds a generation delivers to [`Generations::sink`] as
//! to any other sink.
//!
//! Every step may be cut off by a crash and taken again: what is there is read from the sink itself, never remembered.

use super::{Sink, SinkError};
use futures::future::BoxFuture;
use std::sync::Arc;

/// A sink whose content can be built anew beside what is live, and swapped in.
pub trait Generations: Send + Sync + 'static {
    /// What it is and where, without secrets, for messages.
    fn describe(&self) -> String;

    /// All there are, ascending; exactly one is live once anything was prepared.
    ///
    /// # Errors
    /// When the sink cannot be asked, or answers what cannot be.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Generation>, SinkError>>;

    /// Makes the next one, empty, with the mappings of the schema of this process, and returns its number. It is not
    /// live. A number is never given twice.
    ///
    /// # Errors
    /// When the sink cannot be reached, or does not let it be made.
    fn create(&self) -> BoxFuture<'_, Result<u32, SinkError>>;

    /// A sink that writes to, and reads, this generation only, live or not. Asks nobody: whether there is such a
    /// generation [`Sink::prepare`] tells.
    ///
    /// # Errors
    /// When there can be no such generation.
    fn sink(&self, number: u32) -> Result<Arc<dyn Sink>, SinkError>;

    /// Makes `number` the one that searches are answered from: for all types of documents at the same moment, and for
    /// those of which there are none yet.
    ///
    /// # Errors
    /// [`SinkError::Unfit`] when there is no such generation. After [`SinkError::Unavailable`] it may have happened or
    /// not; doing it again is harmless.
    fn swap(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Removes one that is not live. What is still written to it afterwards is refused, and does not bring it back.
    ///
    /// # Errors
    /// [`SinkError::Unfit`] when it is live, or when there is none.
    fn remove(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>>;

    /// The number of the live one, which is made, as generation 1, if there is none.
    ///
    /// # Errors
    /// When the sink cannot be reached, or is not what it has to be.
    fn live(&self) -> BoxFuture<'_, Result<u32, SinkError>>;
}

/// One content of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Counts up from 1.
    pub number: u32,
    /// Searches are answered from it.
    pub live: bool,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// Documents that it holds and that can be found.
    pub documents: u64,
    /// Bytes on disk, copies not counted.
    pub bytes: u64,
    /// Hash of the schema that its mappings were made from.
    pub schema_hash: String,
    /// Its mappings are those that the schema of this process gives.
    pub mapping_current: bool,
}
