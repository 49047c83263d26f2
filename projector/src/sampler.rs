//! The sampler: periodic measurements of queue depth, ages, rates and open cascades.

use crate::context::Context;
use crate::counters::eta_ms;
use crate::error::{During, ProjectorError};
use crate::lag::Lag;
use crate::metrics::export;
use crate::options::Part;
use crate::status::{
    CascadeReport, ErrorReport, ProjectorStatus, QueueReport, RebuildReport, ResyncReport, SourceReport,
};
use crate::task_group::Fatal;
use millstream_pipeline::queue::QueueStats;
use millstream_store::error::StoreError;
use millstream_store::table::cascade;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const COUNTING: &str = "counting open cascades";

/// Deadline for counting open cascades.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);

/// A wait that no read has renewed for this time is dropped: a newer version has replaced its entry.
const WAIT_EXPIRES_MS: u64 = 60_000;

/// Measures until `stop`.
///
/// # Errors
/// Never: a failed measurement is logged and repeated.
pub(crate) async fn measure(context: &Context, fatal: &Fatal, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let interval = context.options().gauge_interval;
    let (mut before, mut lag) = (RateSample::of(context), Lag::default());
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = context.deps.clock.sleep(interval) => {}
        }
        let now = RateSample::of(context);
        rates(context, &before, &now);
        let source = context.source_status();
        let behind_ms = lag.age_ms(now.at_ms, source.server_position.lsn, source.confirmed.lsn);
        context.counters.behind_ms.set(behind_ms);
        expire_waits(context, now.at_ms);
        before = now;
        if let Err(error) = status(context, fatal.reason()).await {
            context.will_retry(&error, interval);
        }
    }
}

/// Counters at one moment; two of them give rates.
struct RateSample {
    at_ms: u64,
    stored: u64,
    changes: u64,
    stamped: u64,
    lag: u64,
}

impl RateSample {
    fn of(context: &Context) -> Self {
        let counters = &context.counters;
        Self {
            at_ms: context.now_ms(),
            stored: counters.stored.get(),
            changes: counters.changes.get(),
            stamped: counters.stamped.get(),
            lag: counters.lag.get(),
        }
    }
}

fn rates(context: &Context, before: &RateSample, now: &RateSample) {
    let (counters, elapsed_ms) = (&context.counters, now.at_ms.saturating_sub(before.at_ms).max(1));
    let per_s = |before: u64, now: u64| now.saturating_sub(before).saturating_mul(1_000) / elapsed_ms;
    counters.stored_per_s.set(per_s(before.stored, now.stored));
    counters.changes_per_s.set(per_s(before.changes, now.changes));
    counters.stamped_per_s.set(per_s(before.stamped, now.stamped));
    counters.source_eta.set(eta_ms(now.lag, per_s(now.lag, before.lag)));
}

fn expire_waits(context: &Context, now_ms: u64) {
    let mut waits = context.visibility_waits();
    waits.expire(now_ms, Duration::from_millis(WAIT_EXPIRES_MS));
    context.counters.waits.set(waits.len() as u64);
}

/// Counts open cascades within [`COUNT_TIMEOUT`]: a database that hangs must not hide the other numbers of the status.
async fn open_cascades(context: &Context) -> Result<(), ProjectorError> {
    tokio::select! {
        counted = count_cascades(context) => counted,
        () = context.deps.clock.sleep(COUNT_TIMEOUT) => {
            let timeout = StoreError::other(format!("the database did not answer within {COUNT_TIMEOUT:?}"));
            Err(ProjectorError::database(COUNTING, timeout))
        }
    }
}

async fn count_cascades(context: &Context) -> Result<(), ProjectorError> {
    let client = context.deps.database.get().await.during(COUNTING)?;
    let backlog = cascade::backlog(&client).await.during(COUNTING)?;
    context.counters.cascades_open.set(backlog.open);
    context.counters.cascades_age_ms.set(backlog.oldest_age_ms);
    Ok(())
}

/// Measures and exports the whole status. Queue and cascades are read now; rates are those of the last interval.
///
/// Reads in the order of the flow: a change that the source had made durable is then counted in the queue's depth, or
/// done. In the other order a change that arrives in between would be in neither.
pub(crate) async fn status(context: &Context, fatal: Option<String>) -> Result<ProjectorStatus, ProjectorError> {
    let source = source_report(context);
    let stats = context.deps.queue.stats().await.during("reading the queue's counters")?;
    // An unreachable database must not hide the rest: the last count stays, and the error is shown.
    if let Err(error) = open_cascades(context).await {
        context.will_retry(&error, context.options().gauge_interval);
    }
    let status = report(context, source, stats, fatal);
    export::projector(&status);
    Ok(status)
}

fn report(context: &Context, source: SourceReport, stats: QueueStats, fatal: Option<String>) -> ProjectorStatus {
    let (counters, options) = (&context.counters, context.options());
    let works = options.part != Part::Intake;
    let workers = |wanted: usize| if works { wanted.max(1) as u64 } else { 0 };
    ProjectorStatus {
        source,
        queue: queue_report(stats, counters.stored_per_s.get(), counters.changes_per_s.get()),
        rebuild: RebuildReport {
            stored: counters.stored.get(),
            stored_per_s: counters.stored_per_s.get(),
            version: counters.stored_version.get(),
            workers: workers(options.rebuild_workers),
            repaired: counters.repaired.get(),
            superseded: counters.superseded.get(),
            gone: counters.gone.get(),
            awaits_stamp: counters.awaits_stamp.get(),
            held: counters.not_visible.get(),
            contradicted: counters.contradicted.get(),
            holds: counters.waits.get(),
            alarms: counters.alarms.get(),
            failures: counters.failures.get(),
            quarantines: counters.quarantines.get(),
        },
        cascade: CascadeReport {
            open: counters.cascades_open.get(),
            oldest_age_ms: counters.cascades_age_ms.get(),
            pages: counters.pages.get(),
            stamped: counters.stamped.get(),
            stamped_per_s: counters.stamped_per_s.get(),
            workers: workers(options.cascade_workers),
            finished: counters.cascades_finished.get(),
            failures: counters.cascade_failures.get(),
        },
        resync: ResyncReport {
            running: counters.resyncing.get() > 0,
            compared: counters.compared.get(),
            enqueued: counters.enqueued.get(),
        },
        last_error: context.deps.queue.problem().map(ErrorReport::from).or_else(|| context.last_error()),
        fatal,
    }
}

fn source_report(context: &Context) -> SourceReport {
    let status = context.source_status();
    let counters = &context.counters;
    SourceReport {
        connected: status.connected,
        reconnects: status.reconnects,
        failures: counters.source_failures.get(),
        server_position: status.server_position.to_string(),
        delivered: status.delivered.to_string(),
        durable: context.durable.borrow().to_string(),
        confirmed: status.confirmed.to_string(),
        lag: counters.lag.get(),
        lag_unit: context.position_kind().unit(),
        behind_ms: counters.behind_ms.get(),
        eta_ms: counters.source_eta.get(),
        changes: counters.changes.get(),
        changes_per_s: counters.changes_per_s.get(),
        last_error: status.last_error,
    }
}

fn queue_report(stats: QueueStats, stored_per_s: u64, changes_per_s: u64) -> QueueReport {
    QueueReport {
        depth: stats.depth,
        touches: stats.touches,
        in_flight: stats.in_flight,
        delayed: stats.delayed,
        quarantined: stats.quarantined,
        unreadable: stats.unreadable,
        oldest_age_ms: stats.oldest_age_ms,
        disk_bytes: stats.disk_bytes,
        eta_ms: eta_ms(stats.depth, stored_per_s.saturating_sub(changes_per_s)),
    }
}
