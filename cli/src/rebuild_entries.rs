//! Queue entries that rebuild single documents, for the process that owns the queue and for commands without one.

use crate::{config::Config, failure::Failure};
use millstream_pipeline::queue::{Work, WorkQueue};
use millstream_projector::{Clock, SystemClock};
use millstream_store::{connect::Database, table::known_version};
use uuid::Uuid;

/// Documents per read and per batch of entries.
const TOGETHER: usize = 500;

/// Enqueues documents to be composed again and delivered, even at an equal version. Ids without a document are left out;
/// returns how many were enqueued.
pub(crate) async fn enqueue_rebuilds(
    database: &Database,
    queue: &dyn WorkQueue,
    documents: &[Uuid],
) -> Result<u64, Failure> {
    let mut enqueued = 0;
    for chunk in documents.chunks(TOGETHER) {
        let known = {
            let client = database.get().await.map_err(Failure::failed)?;
            known_version::by_uuid(&client, chunk).await.map_err(Failure::failed)?
        };
        let now_ms = SystemClock.now_ms();
        let living = known.into_iter().filter(|known| !known.deleted);
        let work: Vec<Work> = living
            .map(|of| Work {
                repair: true,
                ..Work::of_row(of.document_id, of.uuid, of.resource_key, of.version, false, now_ms)
            })
            .collect();
        enqueued += work.len() as u64;
        if !work.is_empty() {
            queue.put(work, None).await.map_err(Failure::failed)?;
        }
    }
    Ok(enqueued)
}

/// Returns which processes consume entries that were enqueued while no process runs on the data folder.
pub(crate) fn next_step(config: &Config) -> &'static str {
    if config.queue.in_kafka {
        "the processes that share the queue do it; then verify once more"
    } else {
        "start `millstream up`, which does it, then verify once more"
    }
}
