//! Backpressure for walks that enqueue work.

use crate::error::{During, ProjectorError};
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::WorkQueue;
use std::time::Duration;

/// Pause between reads of the queue's counters.
const POLL: Duration = Duration::from_millis(50);

/// Waits until the queue holds at most `depth_max` entries, so that the backlog of a walk stays bounded.
pub(crate) async fn wait_until_below(
    queue: &dyn WorkQueue,
    clock: &dyn Clock,
    depth_max: u64,
) -> Result<(), ProjectorError> {
    while queue.stats().await.during("reading the queue's counters")?.depth > depth_max {
        clock.sleep(POLL).await;
    }
    Ok(())
}
