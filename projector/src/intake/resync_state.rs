//! The completeness of the queue: it follows the stream without a gap, or a comparison of all documents is pending.

use super::source::PositionKind;
use millstream_outbox::progress::{Origin, ProgressKeeper};
use millstream_outbox::relay::FencingEpoch;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio_util::sync::CancellationToken;

/// The phase, changed by [`super::progress`] only, and what its tasks wake each other with.
#[derive(Debug, Default)]
pub(crate) struct ResyncState {
    phase: Mutex<ResyncPhase>,
    /// Notified when the phase has changed.
    pub(super) changed: Notify,
    /// A warning was logged that no watermark can be stored.
    warned_unmarked: AtomicBool,
}

/// The phases.
#[derive(Debug, Default)]
pub(super) enum ResyncPhase {
    /// The source has not been opened yet.
    #[default]
    Unknown,
    /// All documents have to be compared with the cache before the stream is complete.
    Pending {
        cause: &'static str,
        origin: Origin,
        /// Set while the source is open. The comparison must not start earlier: changes committed between the two would
        /// be in neither.
        open: Option<OpenSource>,
        /// Counts the gaps, so that a comparison knows whether another one occurred meanwhile.
        serial: u64,
    },
    /// The stream is complete.
    Followed { keeper: ProgressKeeper, kind: PositionKind },
}

/// The source that a comparison runs beside.
#[derive(Debug, Clone)]
pub(super) struct OpenSource {
    pub(super) kind: PositionKind,
    /// The fencing epoch in which it was opened: what the comparison finds is stored in this one only.
    pub(super) epoch: FencingEpoch,
    /// Cancelled when it is closed, which ends the comparison.
    pub(super) closed: CancellationToken,
}

impl ResyncState {
    /// Locks the phase. The lock also serialises all writes of `dms.ProjectionProgress` by this process.
    pub(super) async fn lock(&self) -> MutexGuard<'_, ResyncPhase> {
        self.phase.lock().await
    }

    /// Sets whether no watermark can be stored; returns whether that was known already.
    pub(super) fn set_unmarked(&self, unmarked: bool) -> bool {
        self.warned_unmarked.swap(unmarked, Ordering::Relaxed)
    }
}
