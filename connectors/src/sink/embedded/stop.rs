//! The flag by which a search learns that its client has gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that is raised once. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct StopFlag(Arc<AtomicBool>);

/// Raises its flag when it is dropped.
pub(super) struct StopGuard(StopFlag);

impl StopFlag {
    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns a guard that raises the flag when the future that owns the guard is dropped or has finished.
    pub(super) fn raise_when_dropped(&self) -> StopGuard {
        StopGuard(self.clone())
    }
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
