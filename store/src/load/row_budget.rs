//! The memory that the rows of one batch may take.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that the statements of a batch share. Once it is exceeded, they stop reading.
#[derive(Debug)]
pub(crate) struct RowBudget {
    bytes_max: usize,
    used: AtomicUsize,
}

impl RowBudget {
    /// A budget of so many bytes.
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, used: AtomicUsize::new(0) }
    }

    /// A budget for rows whose size is bounded otherwise: it was measured, or they are one row per document.
    pub(crate) const fn measured() -> Self {
        Self::new(usize::MAX)
    }

    /// Counts a row. Returns whether the rows so far fit.
    pub(super) fn take(&self, bytes: usize) -> bool {
        self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.bytes_max
    }

    /// Whether more bytes were counted than the budget has.
    pub(super) fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.bytes_max
    }
}
