//! Once in a while, everything that has to be asked for: depth, ages, rates, open cascades.

use crate::context::Context;
use crate::counters::eta_ms;
use crate::error::ProjectorError;
use crate::lag::Lag;
use crate::options::Part;
use crate::publish;
use crate::status::{
    CascadeReport, ErrorReport, ProjectorStatus, QueueReport, RebuildReport, ResyncReport, SourceReport,
};
use crate::task_group::Fatal;
use millstream_pipeline::queue::QueueStats;
use millstream_store::error::StoreError;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const OPEN_CASCADES_SQL: &str = r#"
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min("OpenedAt")) * 1000, 0)::int8 FROM "dms"."Cascade""#;

const COUNTING: &str = "counting open cascades";

/// How long the database may take to answer that.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Holds that nobody looked at for so long are not waited for any more: a newer version has replaced their entry.
const HOLD_EXPIRES_MS: u64 = 60_000;

/// Measures until it is told to stop.
///
/// # Errors
/// None: a measurement that fails is logged and made again.
pub(crate) async fn measure(context: &Context, fatal: &Fatal, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let interval = context.options().gauge_interval;
    let (mut before, mut behind) = (Sample::of(context), Lag::default());
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = context.deps.clock.sleep(interval) => {}
        }
        let now = Sample::of(context);
        rates(context, &before, &now);
        let source = context.source_status();
        let behind_ms = behind.age_ms(now.at_ms, source.server_position.lsn, source.confirmed.lsn);
        context.counters.behind_ms.set(behind_ms);
        expire_holds(context, now.at_ms);
        before = now;
        if let Err(error) = status(context, fatal.reason()).await {
            context.will_retry(&error, interval);
        }
    }
}

/// What rates are made of.
struct Sample {
    at_ms: u64,
    stored: u64,
    changes: u64,
    stamped: u64,
    lag: u64,
}

impl Sample {
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

fn rates(context: &Context, before: &Sample, now: &Sample) {
    let (counters, elapsed_ms) = (&context.counters, now.at_ms.saturating_sub(before.at_ms).max(1));
    let per_s = |before: u64, now: u64| now.saturating_sub(before).saturating_mul(1_000) / elapsed_ms;
    counters.stored_per_s.set(per_s(before.stored, now.stored));
    counters.changes_per_s.set(per_s(before.changes, now.changes));
    counters.stamped_per_s.set(per_s(before.stamped, now.stamped));
    counters.source_eta.set(eta_ms(now.lag, per_s(now.lag, before.lag)));
}

fn expire_holds(context: &Context, now_ms: u64) {
    let mut holds = context.holds();
    holds.expire(now_ms, Duration::from_millis(HOLD_EXPIRES_MS));
    context.counters.holds.set(holds.len() as u64);
}

/// Asks for no longer than [`ANSWER_WITHIN`]: a database that hangs must hide neither the other figures nor the status.
async fn open_cascades(context: &Context) -> Result<(), ProjectorError> {
    tokio::select! {
        counted = count_cascades(context) => counted,
        () = context.deps.clock.sleep(ANSWER_WITHIN) => {
            let silent = StoreError::other(format!("the database did not answer within {ANSWER_WITHIN:?}"));
            Err(ProjectorError::database(COUNTING)(silent))
        }
    }
}

async fn count_cascades(context: &Context) -> Result<(), ProjectorError> {
    let client = context.deps.database.get().await.map_err(ProjectorError::database(COUNTING))?;
    let statement = client.prepare_cached(OPEN_CASCADES_SQL).await.map_err(ProjectorError::database(COUNTING))?;
    let row = client.query_one(&statement, &[]).await.map_err(ProjectorError::database(COUNTING))?;
    let open: i64 = row.try_get(0).map_err(ProjectorError::database(COUNTING))?;
    let age_ms: i64 = row.try_get(1).map_err(ProjectorError::database(COUNTING))?;
    context.counters.cascades_open.set(u64::try_from(open).unwrap_or(0));
    context.counters.cascades_age_ms.set(u64::try_from(age_ms).unwrap_or(0));
    Ok(())
}

/// Everything at once, and published. The queue and the cascades are asked now; rates are those of the last interval.
///
/// In the order of the flow: what the source had made durable by then is counted in the queue's depth, or done. Asked the
/// other way round, a change that arrives in between would be neither.
pub(crate) async fn status(context: &Context, fatal: Option<String>) -> Result<ProjectorStatus, ProjectorError> {
    let source = source(context);
    let stats = context.deps.queue.stats().await.map_err(ProjectorError::queue("reading the queue's counters"))?;
    // An unreachable database must not hide the rest: the last count stands, and the error is shown.
    if let Err(error) = open_cascades(context).await {
        context.will_retry(&error, context.options().gauge_interval);
    }
    let status = report(context, source, stats, fatal);
    publish::projector(&status);
    Ok(status)
}

fn report(context: &Context, source: SourceReport, stats: QueueStats, fatal: Option<String>) -> ProjectorStatus {
    let (counters, options) = (&context.counters, context.options());
    let works = options.part != Part::Intake;
    let workers = |wanted: usize| if works { wanted.max(1) as u64 } else { 0 };
    ProjectorStatus {
        source,
        queue: queue(stats, counters.stored_per_s.get(), counters.changes_per_s.get()),
        rebuild: RebuildReport {
            stored: counters.stored.get(),
            stored_per_s: counters.stored_per_s.get(),
            version: counters.stored_version.get(),
            workers: workers(options.rebuild_workers),
            repaired: counters.repaired.get(),
            superseded: counters.superseded.get(),
            gone: counters.gone.get(),
            awaits_stamp: counters.awaits_stamp.get(),
            held: counters.held.get(),
            contradicted: counters.contradicted.get(),
            holds: counters.holds.get(),
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
        last_error: context.mishap().map(|mishap| ErrorReport { at_ms: mishap.at_ms, text: mishap.text }),
        fatal,
    }
}

fn source(context: &Context) -> SourceReport {
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

fn queue(stats: QueueStats, stored_per_s: u64, changes_per_s: u64) -> QueueReport {
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
