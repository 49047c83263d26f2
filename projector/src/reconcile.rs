//! Making a sink equal to the tables after the database has begun a new history.
//!
//! A database that was put back to an earlier state, or has lost commits in a failover, gives versions out again. A sink
//! may then hold documents that no longer exist, versions that the database never reached, other bytes at a version that
//! was given out twice, and the memory of deletes that never happened. Versions guard the sink, so the bodies alone do
//! not put it right. The sink is therefore read and compared with the tables ([`crate::proof`]). What is only missing or
//! older is delivered again. What is unknown to the database is deleted above the version that the sink holds. Every
//! other document gets a new version above all that the sink holds ([`history::stamp`]) and arrives as a change, in every
//! sink and for every reader that compares versions.
//!
//! The history that a sink has caught up with is stored in `dms.ProjectionProgress`, so a crash repeats the comparison.

use crate::caught_up::caught_up;
use crate::error::{During, ProjectorError};
use crate::intake::source::SourceFactory;
use crate::proof::{Finding, FindingKind, ProofError, SinkReport, prove};
use millstream_pipeline::clock::Clock;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::{Work, WorkQueue};
use millstream_pipeline::sink::Sink;
use millstream_store::connect::Database;
use millstream_store::table::history::{self, ConsumerHistory};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const ACTION: &str = "comparing a sink with the tables";

/// Comparisons in a row before the sink is left to the next call: a writer or a sink does not let it finish.
const ROUNDS_MAX: u32 = 10;
/// Longest wait for what was committed to reach the sink. One that does not take anything is left to the next call.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Documents stamped by one transaction.
const STAMPED_TOGETHER: usize = 500;
/// Pause before documents that another transaction holds are tried again.
const STAMP_AGAIN: Duration = Duration::from_millis(100);

/// The components that a comparison needs.
#[derive(Clone)]
pub struct ReconcileDeps {
    /// The database.
    pub database: Database,
    /// The memory that bodies are read within.
    pub memory: MemoryBudget,
    /// The configured source, also if another process follows it.
    pub source: Arc<dyn SourceFactory>,
    /// The cache queue.
    pub queue: Arc<dyn WorkQueue>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for ReconcileDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconcileDeps").field("database", &self.database).finish_non_exhaustive()
    }
}

/// Returns the consumer in `dms.ProjectionProgress` that stands for the sink of this lane.
fn consumer(lane: &str) -> String {
    format!("sink {lane}")
}

/// Whether the sink of this lane has been compared since the present history of the database began.
///
/// # Errors
/// When the database does not answer.
pub async fn is_reconciled(database: &Database, lane: &str) -> Result<bool, ProjectorError> {
    let ConsumerHistory { current, caught_up } = histories(database, lane).await?;
    Ok(current == caught_up)
}

async fn histories(database: &Database, lane: &str) -> Result<ConsumerHistory, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    history::of_consumer(&*client, &consumer(lane)).await.during(ACTION)
}

/// Compares the sink of a lane with the tables and repairs it, until they are equal, unless that was done since the
/// present history began. Returns whether they are. It may be cancelled at any point.
///
/// Do not call it while the lane is being filled: everything that is not there yet counts as missing.
///
/// # Errors
/// When the sink, the database, the source or the queue does not answer.
pub async fn reconcile(
    deps: &ReconcileDeps,
    name: &str,
    lane: &dyn WorkQueue,
    sink: &dyn Sink,
) -> Result<bool, ProofError> {
    let ConsumerHistory { current, caught_up: known } = histories(&deps.database, name).await?;
    if current == known {
        return Ok(true);
    }
    tracing::info!(sink = name, history = current, "comparing a sink with the tables: the database has a new history");
    for round in 0..ROUNDS_MAX {
        // Completes only after the cache was compared in the present history.
        let waiting = caught_up(&deps.database, &*deps.source, &*deps.queue, Some(lane), &*deps.clock);
        match tokio::time::timeout(CATCH_UP, waiting).await {
            Ok(done) => done?,
            Err(_) => {
                tracing::warn!(sink = name, "a sink does not catch up; comparing it later");
                return Ok(false);
            }
        }
        let report = prove(&deps.database, &deps.memory, sink, &*deps.clock, &mut |_| {}).await?;
        if report.differences() == 0 {
            let client = deps.database.get().await.during(ACTION)?;
            let recorded = history::caught_up(&*client, &consumer(name), current).await.during(ACTION)?;
            tracing::info!(sink = name, history = current, compared = report.compared, "a sink equals the tables");
            return Ok(recorded);
        }
        tracing::warn!(sink = name, differences = ?report.counts, "a sink differs from the tables; repairing it");
        repair(deps, lane, &report, round).await?;
    }
    Ok(false)
}

async fn repair(
    deps: &ReconcileDeps,
    lane: &dyn WorkQueue,
    report: &SinkReport,
    round: u32,
) -> Result<(), ProjectorError> {
    let (stamped, delivered): (Vec<&Finding>, Vec<&Finding>) =
        report.findings.iter().partition(|finding| needs_version(finding, round));
    let now_ms = deps.clock.now_ms();
    let work: Vec<Work> = delivered.iter().filter_map(|finding| finding.mending(now_ms)).collect();
    if !work.is_empty() {
        lane.put(work, None).await.during(ACTION)?;
    }
    // Deletes go one above the version that the sink holds.
    let above = report.findings.iter().filter_map(|finding| finding.held).max().unwrap_or(0).saturating_add(1);
    let uuids: Vec<Uuid> = stamped.iter().map(|finding| finding.uuid).collect();
    // Those that are left are found by the next round.
    stamp(&deps.database, &*deps.clock, &uuids, above).await?;
    Ok(())
}

/// Whether the sink takes the document only at a new version. A sink may remember the delete of a document that it lacks:
/// if delivering it again was in vain, it gets one too.
fn needs_version(finding: &Finding, round: u32) -> bool {
    match finding.kind {
        FindingKind::Newer | FindingKind::Altered => true,
        FindingKind::Missing => round > 0,
        FindingKind::Stale | FindingKind::Extra | FindingKind::Undeleted => false,
    }
}

/// Gives documents versions above `above`, so that they arrive in every copy as changes. Returns those that are left:
/// another transaction held them twice, or an identity changed all the time.
///
/// # Errors
/// When the database fails.
pub async fn stamp(
    database: &Database,
    clock: &dyn Clock,
    uuids: &[Uuid],
    above: i64,
) -> Result<Vec<Uuid>, ProjectorError> {
    let mut left = Vec::new();
    for uuids in uuids.chunks(STAMPED_TOGETHER) {
        let mut again = stamp_once(database, uuids.to_vec(), above).await?;
        if !again.is_empty() {
            clock.sleep(STAMP_AGAIN).await;
            again = stamp_once(database, again, above).await?;
        }
        left.extend(again);
    }
    Ok(left)
}

async fn stamp_once(database: &Database, mut uuids: Vec<Uuid>, above: i64) -> Result<Vec<Uuid>, ProjectorError> {
    let mut client = database.get().await.during(ACTION)?;
    let stamped = history::stamp(&mut client, &uuids, above).await.during(ACTION)?;
    uuids.retain(|uuid| !stamped.contains(uuid));
    Ok(uuids)
}
