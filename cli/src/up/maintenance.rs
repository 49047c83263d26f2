//! Maintenance tasks of a running process: outbox partitions, old tombstones, wanted sinks and process metrics.

use crate::{
    failure::Failure,
    process::{
        metrics::ProcessMetrics,
        state::{ProcessState, RunningProcess},
    },
};
use millstream_outbox::{
    OutboxError,
    progress::{self, Origin, Snapshot},
    retention::{ensure_partitions, prune},
};
use millstream_pipeline::Backoff;
use millstream_projector::{
    SystemClock,
    replay::JobState,
    tombstones::{self, HeldBack, Pruned, TombstoneDeps},
};
use millstream_store::{
    connect::{Client, Database},
    error::StoreError,
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio_util::sync::CancellationToken;

/// Pause between two passes over the outbox.
const OUTBOX_INTERVAL: Duration = Duration::from_secs(60);
/// Pause before old partitions that are being read are tried again: each attempt makes writers wait for a moment.
const PRUNE_BACKOFF: Backoff = Backoff { base: Duration::from_secs(120), ceiling: Duration::from_secs(3_600) };
/// Pause between two passes over old tombstones.
const TOMBSTONES_INTERVAL: Duration = Duration::from_secs(600);
/// Pause after a pass that removed tombstones: each pass removes a bounded number.
const TOMBSTONES_NEXT: Duration = Duration::from_secs(1);
/// Longest wait for the cache queue, and for each lane, before tombstones are pruned: a slower one keeps them.
const TOMBSTONES_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause before a wanted sink that could not be added is tried again.
const SINKS_INTERVAL: Duration = Duration::from_secs(5);
/// The same while the process is not ready.
const SINKS_NEXT: Duration = Duration::from_millis(100);
/// Pause between two looks whether the database has begun a new history.
const RECONCILE_INTERVAL: Duration = Duration::from_secs(5);
/// Pause between two measurements of the process.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);
/// Outbox partitions that exist beyond the current one.
const PARTITIONS_AHEAD: u32 = 2;

/// Creates outbox partitions ahead and drops old ones, until stopped. Errors are logged and retried in the next pass.
pub(super) async fn outbox(database: Database, consumer: String, keep: Duration, stop: CancellationToken) {
    let (mut busy, mut prune_at) = (PRUNE_BACKOFF.attempts(), Instant::now());
    loop {
        let keep = (Instant::now() >= prune_at).then_some(keep);
        match maintain_outbox(&database, &consumer, keep).await {
            Ok(false) => busy.succeed(),
            Ok(true) => prune_at = Instant::now() + busy.fail(),
            Err(error) => tracing::warn!(error = %Failure::failed(error), "failed to maintain the outbox; retrying"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(OUTBOX_INTERVAL)).await.is_none() {
            return;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum OutboxMaintenanceError {
    #[error("no connection")]
    Connection(#[source] StoreError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// Creates partitions and, with `keep`, drops those that are older and not needed. Returns whether one could not be
/// dropped because of a reader.
async fn maintain_outbox(
    database: &Database,
    consumer: &str,
    keep: Option<Duration>,
) -> Result<bool, OutboxMaintenanceError> {
    let mut client = database.get().await.map_err(OutboxMaintenanceError::Connection)?;
    let created = ensure_partitions(&mut client, PARTITIONS_AHEAD).await?;
    if !created.is_empty() {
        tracing::info!(?created, "created partitions of the outbox");
    }
    let Some(keep) = keep else { return Ok(false) };
    let watermark = current_watermark(&client, consumer).await?;
    let cutoff = SystemTime::now().checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH);
    let pruned = prune(&mut client, cutoff, watermark.as_ref()).await?;
    if !pruned.dropped.is_empty() || pruned.deleted > 0 {
        tracing::info!(dropped = ?pruned.dropped, deleted = pruned.deleted, "removed old change records");
    }
    if !pruned.busy.is_empty() {
        tracing::info!(partitions = ?pruned.busy, "kept old partitions that are being read; retrying later");
    }
    Ok(!pruned.busy.is_empty())
}

/// Returns the snapshot that the consumer has stored in the present history of the database. The transaction ids of an
/// earlier one mean nothing here: rows that it seems to show may never have been read.
async fn current_watermark(client: &Client, consumer: &str) -> Result<Option<Snapshot>, OutboxMaintenanceError> {
    let Some(progress) = progress::load(client, consumer).await? else { return Ok(None) };
    let Some(stream) = progress.origin.stream.clone() else { return Ok(None) };
    let here = Origin::read(client, progress.origin.epoch, stream).await?;
    let current = progress.origin.has_history_of(&here);
    Ok(progress.watermark.filter(|_| current).map(|watermark| watermark.snapshot))
}

/// Removes old tombstones that no copy needs, until stopped. Errors are logged and retried in the next pass.
pub(super) async fn tombstones(state: ProcessState, keep: Duration, stop: CancellationToken) {
    loop {
        let mut pause = TOMBSTONES_INTERVAL;
        match state.with(async |process| prune_tombstones(process, keep).await).await.flatten() {
            Ok(Pruned::Removed(0)) => {}
            Ok(Pruned::Removed(removed)) => {
                tracing::info!(removed, "removed old tombstones");
                pause = TOMBSTONES_NEXT;
            }
            Ok(Pruned::HeldBack(reason)) => tracing::info!(%reason, "kept old tombstones"),
            Err(error) => tracing::warn!(%error, "failed to prune old tombstones; retrying"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Removes old tombstones, unless a copy may need them. A wanted sink that is not added yet is such a copy.
async fn prune_tombstones(process: &RunningProcess, keep: Duration) -> Result<Pruned, Failure> {
    if let Some(sink) = process.missing_sink().await? {
        return Ok(Pruned::HeldBack(HeldBack::Absent(sink.to_owned())));
    }
    if process.replay.job().is_some_and(|job| job.state == JobState::Running) {
        return Ok(Pruned::HeldBack(HeldBack::Replay("the cache".to_owned())));
    }
    let deps = TombstoneDeps {
        database: process.pools.background.clone(),
        source: Arc::clone(&process.source),
        queue: Arc::clone(&process.queue),
        lanes: Arc::clone(&process.lanes),
        clock: Arc::new(SystemClock),
    };
    tombstones::prune(&deps, keep, TOMBSTONES_TIMEOUT).await.map_err(Failure::failed)
}

/// Adds the wanted sinks that are missing, until none is.
pub(super) async fn wanted_sinks(state: ProcessState, stop: CancellationToken) {
    loop {
        let missing = state.with(async |process| process.add_wanted_sinks().await).await;
        let pause = match missing {
            Ok(0) => return,
            Ok(_) => SINKS_INTERVAL,
            Err(_) => SINKS_NEXT,
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Compares the sinks with the tables whenever the database has begun a new history, until stopped. Errors are logged and
/// retried.
pub(super) async fn reconcile_sinks(state: ProcessState, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(RECONCILE_INTERVAL)).await.is_some() {
        let reconciled = Box::pin(state.with(async |process| process.reconcile_sinks().await));
        if let Some(Ok(Err(error))) = stop.run_until_cancelled(reconciled).await {
            tracing::warn!(%error, "failed to compare a sink with the tables; retrying");
        }
    }
}

/// Exports the metrics of the process itself, and looks how far the database has come, until stopped.
pub(super) async fn process_metrics(state: ProcessState, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(METRICS_INTERVAL)).await.is_some() {
        let exported = state.with(async |process| ProcessMetrics::measure(process).await.export(process));
        if exported.await.is_err() {
            tracing::debug!("skipped the process metrics: the process is stopping");
        }
    }
}
