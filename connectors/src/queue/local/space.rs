//! The free space of the queue's disk.
//!
//! The storage engine accepts nothing more after a write that failed for want of space, until it is opened again. Changes
//! therefore wait in the owner thread while less than [`RESERVE_BYTES`] are free; reads go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::QueueProblem;
use nix::sys::statvfs::statvfs;
use parking_lot::Mutex;

/// Space that stays free: the journal of a group, and the tables that the engine writes behind it.
const RESERVE_BYTES: u64 = 64 << 20;

/// Reads the free bytes of a disk; `None` if the system does not tell.
type Probe = Box<dyn Fn() -> Option<u64> + Send>;

/// The state that all handles see.
pub(super) type SharedProblem = Arc<Mutex<Option<QueueProblem>>>;

/// Watches the disk of a queue.
pub(super) struct Space {
    path: PathBuf,
    probe: Probe,
    clock: Arc<dyn Clock>,
    problem: SharedProblem,
}

impl Space {
    pub(super) fn new(path: &Path, clock: Arc<dyn Clock>, problem: SharedProblem) -> Self {
        let probed = path.to_owned();
        let probe = move || {
            let disk = statvfs(&probed).ok()?;
            Some(disk.blocks_available().saturating_mul(disk.fragment_size()))
        };
        Self::with_probe(path, Box::new(probe), clock, problem)
    }

    pub(super) fn with_probe(path: &Path, probe: Probe, clock: Arc<dyn Clock>, problem: SharedProblem) -> Self {
        Self { path: path.to_owned(), probe, clock, problem }
    }

    /// Whether they had to wait at the last look.
    pub(super) fn was_low(&self) -> bool {
        self.problem.lock().is_some()
    }

    /// Whether changes have to wait. Logs the beginning and the end of it, and keeps it for `status`.
    pub(super) fn is_low(&self) -> bool {
        let free = (self.probe)().filter(|free| *free < RESERVE_BYTES);
        let mut problem = self.problem.lock();
        match (free, problem.is_some()) {
            (Some(free), false) => {
                let (path, free_mib, reserve_mib) = (self.path.display(), free >> 20, RESERVE_BYTES >> 20);
                let text = format!(
                    "the disk of the queue in {path} has {free_mib} MiB left: changes wait until {reserve_mib} MiB are free"
                );
                tracing::warn!("{text}");
                *problem = Some(QueueProblem { at_ms: self.clock.now_ms(), text });
            }
            (None, true) => {
                tracing::info!(path = %self.path.display(), "the disk of the queue has space again");
                *problem = None;
            }
            _ => {}
        }
        free.is_some()
    }
}
