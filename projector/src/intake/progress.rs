//! Storing the progress of the stream, and comparing all documents while the stream has a gap.
//!
//! `dms.ProjectionProgress` carries the epoch of the queue that is complete. While a comparison is pending it carries
//! the nil epoch, stored before the source starts from scratch, so that a crash in between cannot hide the gap.
//! Position and watermark are stored only while none is pending. The lock of [`ResyncState`] serialises all of this.

use super::resync_state::{OpenSource, ResyncPhase, ResyncState};
use super::source::PositionKind;
use super::watermark_schedule::WatermarkSchedule;
use crate::context::Context;
use crate::error::{During, ProjectorError};
use crate::resync;
use millstream_outbox::OutboxError;
use millstream_outbox::progress::{self, Origin, Progress, ProgressKeeper};
use millstream_outbox::relay::FencingEpoch;
use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ACTION: &str = "storing the projector's progress";

/// Stores durably that a comparison is pending. To be called before the source starts from scratch.
pub(super) async fn set_pending(
    context: &Context,
    origin: &Origin,
    position: Position,
    cause: &'static str,
) -> Result<(), ProjectorError> {
    let mut phase = context.resync.lock().await;
    let serial = match &*phase {
        ResyncPhase::Pending { serial, .. } => serial + 1,
        _ => 0,
    };
    let incomplete = Origin { epoch: Uuid::nil(), ..origin.clone() };
    let epoch = current_epoch(context)?;
    store(context, &epoch, &Progress { position, watermark: None, origin: incomplete }).await?;
    *phase = ResyncPhase::Pending { cause, origin: origin.clone(), open: None, serial };
    Ok(())
}

/// Records that the source is open: a pending comparison may start, or progress may be stored.
///
/// # Errors
/// When this process holds no lease.
pub(super) async fn source_opened(context: &Context, origin: Origin, kind: PositionKind) -> Result<(), ProjectorError> {
    let epoch = current_epoch(context)?;
    let mut phase = context.resync.lock().await;
    match &mut *phase {
        ResyncPhase::Pending { open, .. } => {
            *open = Some(OpenSource { kind, epoch, closed: CancellationToken::new() });
        }
        _ => *phase = ResyncPhase::Followed { keeper: ProgressKeeper::in_term(epoch, origin), kind },
    }
    drop(phase);
    context.resync.changed.notify_one();
    Ok(())
}

/// Records that the source is closed: no progress is stored until it is open again. A pending comparison stays pending.
pub(super) async fn source_closed(context: &Context) {
    let mut phase = context.resync.lock().await;
    match &mut *phase {
        ResyncPhase::Pending { open, .. } => {
            if let Some(open) = open.take() {
                open.closed.cancel();
            }
        }
        _ => *phase = ResyncPhase::Unknown,
    }
    context.set_epoch(None);
}

async fn store(context: &Context, epoch: &FencingEpoch, progress: &Progress) -> Result<(), ProjectorError> {
    let client = context.deps.database.get().await.during(ACTION)?;
    progress::store_in_term(&*client, epoch, progress).await.during(ACTION)
}

/// Returns the fencing epoch of this process. Nothing is ever stored without one: another process may have taken over.
fn current_epoch(context: &Context) -> Result<FencingEpoch, ProjectorError> {
    let lost = || OutboxError::State("this process does not hold the lease on the outbox any more".to_owned());
    context.epoch().ok_or_else(lost).during(ACTION)
}

/// Compares all documents when that is pending, stores progress otherwise, until `stop`.
///
/// # Errors
/// When the queue fails. An unreachable database is waited for.
pub(crate) async fn keep(context: &Context, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let mut schedule = WatermarkSchedule::default();
    let mut failures = context.options().outage_backoff.attempts();
    while !stop.is_cancelled() {
        let step = tokio::select! {
            () = stop.cancelled() => break,
            step = step(context, &mut schedule) => step,
        };
        let pause = match step {
            Ok(()) => {
                failures.succeed();
                context.options().watermark_interval
            }
            Err(error) if error.is_fatal_queue() => return Err(error),
            Err(error) => {
                let delay = failures.fail();
                context.will_retry(&error, delay);
                delay
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = context.resync.changed.notified() => {}
            () = context.deps.clock.sleep(pause) => {}
        }
    }
    context.counters.resyncing.set(0);
    Ok(())
}

async fn step(context: &Context, schedule: &mut WatermarkSchedule) -> Result<(), ProjectorError> {
    let pending = match &*context.resync.lock().await {
        ResyncPhase::Pending { open: None, .. } => return Ok(()),
        ResyncPhase::Pending { cause, serial, open: Some(open), .. } => Some((*cause, *serial, open.clone())),
        _ => None,
    };
    match pending {
        Some((cause, serial, open)) => compare(context, cause, serial, &open).await,
        None => advance(context, schedule).await,
    }
}

/// Compares all documents, then records that the stream is complete, unless the source was closed or started from
/// scratch again meanwhile. The record is stored in the fencing epoch in which the comparison began, and in no other: a
/// comparison that outlives its lease stores nothing.
async fn compare(
    context: &Context,
    cause: &'static str,
    compared: u64,
    open: &OpenSource,
) -> Result<(), ProjectorError> {
    tracing::info!(cause, "resync started");
    context.counters.resyncing.set(1);
    let walked = open.closed.run_until_cancelled(resync::walk(context)).await;
    context.counters.resyncing.set(0);
    let Some(walked) = walked else {
        tracing::info!(cause, "resync stopped: the source was closed; it starts again when the source is open");
        return Ok(());
    };
    walked?;

    let mut phase = context.resync.lock().await;
    let ResyncPhase::Pending { origin, serial, open: Some(now), .. } = &*phase else { return Ok(()) };
    if *serial != compared || now.epoch != open.epoch {
        context.resync.changed.notify_one();
        return Ok(());
    }
    let position = *context.durable.borrow();
    store(context, &open.epoch, &Progress { position, watermark: None, origin: origin.clone() }).await?;
    let keeper = ProgressKeeper::in_term(open.epoch.clone(), origin.clone());
    *phase = ResyncPhase::Followed { keeper, kind: open.kind };
    let (compared, enqueued) = (context.counters.compared.get(), context.counters.enqueued.get());
    tracing::info!(compared, enqueued, "resync finished");
    Ok(())
}

async fn advance(context: &Context, schedule: &mut WatermarkSchedule) -> Result<(), ProjectorError> {
    let idle_ms = context.options().watermark_idle_interval.as_millis() as u64;
    let mut phase = context.resync.lock().await;
    let ResyncPhase::Followed { keeper, kind } = &mut *phase else { return Ok(()) };
    if !schedule.is_due(context.counters.changes.get(), context.uptime_ms(), idle_ms) {
        return Ok(());
    }
    let placed = match kind {
        PositionKind::Wal | PositionKind::Offsets => place(context, keeper).await?,
        // The position itself says which transactions it covers.
        PositionKind::Transactions => true,
    };
    let durable = *context.durable.borrow();
    let client = context.deps.database.get().await.during(ACTION)?;
    let stored = match kind {
        _ if !placed => keeper.advance_unmarked(&*client, durable).await.map(|()| true),
        PositionKind::Wal | PositionKind::Offsets => {
            keeper.advance(&*client, durable).await.map(|stored| stored.is_some())
        }
        PositionKind::Transactions => keeper.advance_polled(&*client, durable).await.map(|_| true),
    };
    if stored.during(ACTION)? {
        schedule.stored(context.uptime_ms());
        context.counters.watermarks.add(1);
    }
    Ok(())
}

/// Maps the log position of the next watermark to the stream. Returns false if the source cannot map it: then no
/// watermark is stored, and the outbox keeps all its rows.
async fn place(context: &Context, keeper: &mut ProgressKeeper) -> Result<bool, ProjectorError> {
    let Some(lsn) = keeper.unplaced() else { return Ok(true) };
    match context.deps.source.covering(lsn).await {
        Ok(Some(position)) => keeper.place(position),
        Ok(None) => {}
        Err(error @ SourceError::Lost { .. }) => {
            warn_unmarked(context, &context.resync, &error);
            return Ok(false);
        }
        Err(error) => return Err(error).during(ACTION),
    }
    context.resync.set_unmarked(false);
    Ok(true)
}

fn warn_unmarked(context: &Context, state: &ResyncState, error: &SourceError) {
    if !state.set_unmarked(true) {
        let error = context.record(error);
        tracing::warn!(
            error,
            "no watermark can be stored: the source cannot map the server's log position; keeping all change records"
        );
    }
}
