//! What a running process does now and then: partitions of the outbox are made ahead and dropped behind, and the
//! recorder of metrics forgets what is old.

use super::{board::Board, desk};
use metrics_exporter_prometheus::PrometheusHandle;
use millstream_outbox::{
    OutboxError, progress,
    retention::{ensure_partitions, prune},
};
use millstream_projector::tombstones::Pruned;
use millstream_store::connect::Database;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// Pause between two looks at the outbox.
const OUTBOX_EVERY: Duration = Duration::from_secs(60);
/// Pause between two looks at old tombstones.
const TOMBSTONES_EVERY: Duration = Duration::from_secs(600);
/// The same after some went: each look removes a bounded number.
const TOMBSTONES_NEXT: Duration = Duration::from_secs(1);
/// Pause before a sink that is wanted and could not be added is tried again.
const SINKS_EVERY: Duration = Duration::from_secs(5);
/// The same while the process is not ready.
const SINKS_SOON: Duration = Duration::from_millis(100);
/// Pause between two measurements of the process itself.
const NUMBERS_EVERY: Duration = Duration::from_secs(1);
/// Pause between two rounds of the recorder.
const METRICS_EVERY: Duration = Duration::from_secs(5);
/// Partitions of the outbox kept ready beyond the current one.
const PARTITIONS_AHEAD: u32 = 2;

/// Keeps the outbox in partitions, until stopped. Trouble is logged and tried again at the next turn.
pub(super) async fn outbox(database: Database, consumer: String, keep: Duration, stop: CancellationToken) {
    loop {
        if let Err(error) = outbox_once(&database, &consumer, keep).await {
            tracing::warn!(error = %crate::failure::Failure::failed(error), "the outbox could not be kept in order this time");
        }
        if stop.run_until_cancelled(tokio::time::sleep(OUTBOX_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Removes old tombstones that nobody needs, until stopped. Trouble is logged and tried again at the next turn.
pub(super) async fn tombstones(board: Board, keep: Duration, stop: CancellationToken) {
    loop {
        let mut pause = TOMBSTONES_EVERY;
        match board.with(async |about| desk::prune_tombstones(about, keep).await).await.flatten() {
            Ok(Pruned::Removed(0)) => {}
            Ok(Pruned::Removed(removed)) => {
                tracing::info!(removed, "removed old tombstones");
                pause = TOMBSTONES_NEXT;
            }
            Ok(Pruned::HeldBack(why)) => tracing::info!(%why, "old tombstones are kept for now"),
            Err(problem) => tracing::warn!(%problem, "old tombstones could not be looked at this time"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum UpkeepError {
    #[error("no connection")]
    Connection(#[source] millstream_store::error::StoreError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

async fn outbox_once(database: &Database, consumer: &str, keep: Duration) -> Result<(), UpkeepError> {
    let mut client = database.get().await.map_err(UpkeepError::Connection)?;
    let made = ensure_partitions(&mut client, PARTITIONS_AHEAD).await?;
    let progress = progress::load(&**client, consumer).await?;
    let watermark = progress.and_then(|progress| progress.watermark).map(|watermark| watermark.snapshot);
    let cutoff = SystemTime::now().checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH);
    let pruned = prune(&mut client, cutoff, watermark.as_ref()).await?;
    if !made.is_empty() || !pruned.dropped.is_empty() || pruned.deleted > 0 {
        tracing::info!(?made, dropped = ?pruned.dropped, deleted = pruned.deleted, "kept the outbox in order");
    }
    Ok(())
}

/// Adds the sinks that the configuration wants and that are not there yet, until each is.
pub(super) async fn sinks(board: Board, stop: CancellationToken) {
    loop {
        let missing = board.with(async |about| desk::add_wanted(about).await).await;
        let pause = match missing {
            Ok(0) => return,
            Ok(_) => SINKS_EVERY,
            Err(_) => SINKS_SOON,
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Publishes what no part publishes by itself, until stopped.
pub(super) async fn numbers(board: Board, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(NUMBERS_EVERY)).await.is_some() {
        if board.with(async |about| about.measure().await).await.is_err() {
            tracing::debug!("the process was not measured: it is stopping");
        }
    }
}

/// Lets the recorder work off what was observed, until stopped.
pub(super) async fn metrics(recorder: PrometheusHandle, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(METRICS_EVERY)).await.is_some() {
        recorder.run_upkeep();
    }
}
