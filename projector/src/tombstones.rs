//! Pruning tombstones: they are removed when they are old and no component needs them.
//!
//! A tombstone identifies a deleted document to a delivery worker that has an entry of it, to a backfill, and to a
//! proof that finds a document in a sink but not in the cache. It is removed only when it is older than the operator's
//! period, which exceeds the time for which any sink remembers deletes, and when everything committed before the call
//! has left the cache queue and every lane, those of paused sinks and of all generations included, while no replay runs
//! (docs/design/rules.md#rule-31). Otherwise all tombstones stay until the next call.
//!
//! After that, entries in quarantine carry their delete themselves, and an entry of a document that has neither a row
//! nor a tombstone is delivered as a delete ([`crate::delivery`]).

use crate::caught_up::caught_up;
use crate::error::{During, ProjectorError};
use crate::intake::source::SourceFactory;
use crate::replay::job::JobState;
use crate::replay::ledger::{Ledger, LedgerError, NoteLedger};
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::{LaneInfo, Lanes, WorkQueue};
use millstream_store::connect::Database;
use millstream_store::table::tombstone;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const ACTION: &str = "pruning old tombstones";

/// Most tombstones that one call removes.
const PRUNE_MAX: i64 = 50_000;
/// Most tombstones that one statement removes.
const STATEMENT_MAX: usize = 5_000;

/// The components that may still need a tombstone.
#[derive(Clone)]
pub struct TombstoneDeps {
    /// The database with the tombstones.
    pub database: Database,
    /// The configured source, also if another process follows it.
    pub source: Arc<dyn SourceFactory>,
    /// The cache queue.
    pub queue: Arc<dyn WorkQueue>,
    /// Its lanes.
    pub lanes: Arc<dyn Lanes>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for TombstoneDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TombstoneDeps").field("database", &self.database).finish_non_exhaustive()
    }
}

/// The result of one call of [`prune`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pruned {
    /// The number of tombstones removed. Unless it is 0, there may be more.
    Removed(u64),
    /// There are old tombstones, and they are still needed.
    HeldBack(HeldBack),
}

/// The reason why old tombstones stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBack {
    /// A replay into this lane is running and may be about to read them.
    Replay(String),
    /// The cache queue still holds changes committed before the call.
    CacheQueue,
    /// This lane does.
    Lane(String),
    /// This sink is configured and has no lane yet.
    Absent(String),
    /// Lanes were added or removed during the call.
    Changed,
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replay(lane) => write!(f, "a replay to {lane} is running"),
            Self::CacheQueue => f.write_str("the queue is behind"),
            Self::Lane(lane) => write!(f, "{lane} is behind or paused"),
            Self::Absent(sink) => write!(f, "{sink} is configured and not added yet"),
            Self::Changed => f.write_str("sinks were added or removed meanwhile"),
        }
    }
}

/// A failure of [`prune`].
#[derive(Debug, thiserror::Error)]
pub enum TombstoneError {
    /// The database or the queue failed.
    #[error(transparent)]
    Projector(#[from] ProjectorError),
    /// The job of a lane cannot be read, so a replay into it may be running.
    #[error("reading whether a replay is running failed")]
    Ledger(#[from] LedgerError),
}

/// Removes tombstones that are older than `keep`, up to a bounded number, if every lane is past them. Waits up to
/// `wait_max` for the cache queue and for each lane. May be cancelled at any point, and run in several processes at
/// once.
///
/// `keep` has to exceed the time for which any sink remembers deletes.
///
/// # Errors
/// When the database or the queue does not answer.
pub async fn prune(deps: &TombstoneDeps, keep: Duration, wait_max: Duration) -> Result<Pruned, TombstoneError> {
    // Selected first: a tombstone that is visible here was committed before everything that is waited for below.
    let old = older_than(&deps.database, keep).await?;
    if old.is_empty() {
        return Ok(Pruned::Removed(0));
    }
    let before = lanes(deps).await?;
    if let Some(lane) = lane_being_filled(deps, &before).await? {
        return Ok(Pruned::HeldBack(HeldBack::Replay(lane)));
    }
    if let Some(held_back) = lagging(deps, &before, wait_max).await? {
        return Ok(Pruned::HeldBack(held_back));
    }
    // A sink that was added meanwhile is being filled, also from these tombstones.
    let after = lanes(deps).await?;
    if after.iter().map(|lane| lane.epoch).ne(before.iter().map(|lane| lane.epoch)) {
        return Ok(Pruned::HeldBack(HeldBack::Changed));
    }
    if let Some(lane) = lane_being_filled(deps, &after).await? {
        return Ok(Pruned::HeldBack(HeldBack::Replay(lane)));
    }
    Ok(Pruned::Removed(remove(&deps.database, &old).await?))
}

async fn lanes(deps: &TombstoneDeps) -> Result<Vec<LaneInfo>, ProjectorError> {
    deps.lanes.lanes().await.during(ACTION)
}

async fn older_than(database: &Database, keep: Duration) -> Result<Vec<Uuid>, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    tombstone::older_than(&client, keep, PRUNE_MAX).await.during(ACTION)
}

/// Returns a lane into which a replay runs, if there is one.
async fn lane_being_filled(deps: &TombstoneDeps, lanes: &[LaneInfo]) -> Result<Option<String>, TombstoneError> {
    for lane in lanes {
        let job = NoteLedger::new(Arc::clone(&deps.lanes), &lane.name).load().await?;
        if job.is_some_and(|job| job.state == JobState::Running) {
            return Ok(Some(lane.name.clone()));
        }
    }
    Ok(None)
}

/// Returns the first queue that does not get past everything committed before this call, if there is one.
async fn lagging(
    deps: &TombstoneDeps,
    lanes: &[LaneInfo],
    wait_max: Duration,
) -> Result<Option<HeldBack>, ProjectorError> {
    if !passed(deps, None, wait_max).await? {
        return Ok(Some(HeldBack::CacheQueue));
    }
    for info in lanes {
        let lane = deps.lanes.lane(&info.name).await.during(ACTION)?;
        let Some(lane) = lane else { return Ok(Some(HeldBack::Changed)) };
        if !passed(deps, Some(&*lane), wait_max).await? {
            return Ok(Some(HeldBack::Lane(info.name.clone())));
        }
    }
    Ok(None)
}

async fn passed(
    deps: &TombstoneDeps,
    lane: Option<&dyn WorkQueue>,
    wait_max: Duration,
) -> Result<bool, ProjectorError> {
    tokio::select! {
        passed = caught_up(&deps.database, &*deps.source, &*deps.queue, lane, &*deps.clock) => passed.map(|()| true),
        () = deps.clock.sleep(wait_max) => Ok(false),
    }
}

async fn remove(database: &Database, old: &[Uuid]) -> Result<u64, ProjectorError> {
    let (client, mut removed) = (database.get().await.during(ACTION)?, 0);
    for part in old.chunks(STATEMENT_MAX) {
        removed += tombstone::delete(&client, part).await.during(ACTION)?;
    }
    Ok(removed)
}
