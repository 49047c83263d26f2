//! What the operator decides about the embedded index.

use millstream_pipeline::binding::Binding;
use std::path::PathBuf;

/// The least that a writer works with.
pub(super) const WRITER_HEAP_BYTES_MIN: usize = 15_000_000;

/// Where the embedded index is and what it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Folder of all generations, made if it is not there. One process at a time writes to it.
    pub folder: PathBuf,
    /// Memory that a writer may fill before it writes a segment, at least 15 MB. Reading takes the page cache.
    pub writer_heap_bytes: usize,
    /// The database that it is a copy of; without one it is not asked whose copy it is.
    pub binding: Option<Binding>,
}

impl EmbeddedOptions {
    /// A folder, and the defaults: 20 MB.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), writer_heap_bytes: 20_000_000, binding: None }
    }
}
