//! How long the ledger of deletes is kept: tombstones go when they are old and nobody can need them any more.
//!
//! A tombstone answers for a deleted document wherever somebody still looks for it: a courier that has an entry of it, a
//! backfill that walks the ledger, a proof that asks why a sink holds what the cache does not. So a tombstone goes only
//! when it is older than the operator's period, which is longer than any sink remembers deletes by itself, and only after
//! everything that was committed before the look has left the stage and every lane there is, paused lanes and those of
//! all generations too, and while no replay walks
//! (docs/design/rules.md#rule-31). Otherwise all of them stay, until the next look.
//!
//! What is left to know of a delete then: entries in quarantine carry it themselves, and an entry of a document that is
//! neither there nor in the ledger ends as a delete ([`crate::delivery`]).

use crate::caught_up::caught_up;
use crate::error::ProjectorError;
use crate::intake::SourceFactory;
use crate::replay::{JobState, Ledger, LedgerError, NoteLedger};
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::{LaneInfo, Lanes, WorkQueue};
use millstream_store::connect::{Client, Database};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const ACTION: &str = "pruning old tombstones";

/// Tombstones that one call removes at most.
const LOOK_MAX: i64 = 50_000;
/// Tombstones that one statement removes.
const STATEMENT_MAX: usize = 5_000;

const OLD_SQL: &str = r#"
SELECT "DocumentUuid" FROM "dms"."Tombstone" WHERE "DeletedAt" < now() - make_interval(secs => $1::float8) LIMIT $2::int8"#;

const DELETE_SQL: &str = r#"DELETE FROM "dms"."Tombstone" WHERE "DocumentUuid" = ANY((SELECT $1::uuid[])::uuid[])"#;

/// Where deletes may still be on their way.
#[derive(Clone)]
pub struct TombstoneDeps {
    /// The ledger.
    pub database: Database,
    /// Where changes come from, whoever follows them.
    pub source: Arc<dyn SourceFactory>,
    /// The stage.
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

/// What one look did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pruned {
    /// So many tombstones went; there may be more if it is not 0.
    Removed(u64),
    /// There are old ones, and they are needed.
    HeldBack(HeldBack),
}

/// Why old tombstones stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBack {
    /// A replay walks into this lane: it may be about to read them.
    Replay(String),
    /// The stage did not get past what was committed before.
    CacheQueue,
    /// This lane did not.
    Lane(String),
    /// This sink is configured and has no lane yet.
    Absent(String),
    /// Lanes were added or removed meanwhile.
    Changed,
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replay(lane) => write!(f, "a replay to {lane} is under way"),
            Self::CacheQueue => f.write_str("the queue is behind"),
            Self::Lane(lane) => write!(f, "{lane} is behind or paused"),
            Self::Absent(sink) => write!(f, "{sink} is configured and not added yet"),
            Self::Changed => f.write_str("sinks were added or removed meanwhile"),
        }
    }
}

/// Why a look could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TombstoneError {
    /// The database or the queue failed.
    #[error(transparent)]
    Projector(#[from] ProjectorError),
    /// Whether a lane is being filled cannot be read.
    #[error("whether a replay is under way cannot be told")]
    Ledger(#[from] LedgerError),
}

/// Removes tombstones that are older than `keep`, up to a bounded number, if every lane is past them. Waits for the stage
/// and for each lane up to `patience`. Safe to be cut off at any point, and to be made by several at once.
///
/// `keep` has to be longer than any sink remembers deletes.
///
/// # Errors
/// When the database or the queue does not answer.
pub async fn prune(deps: &TombstoneDeps, keep: Duration, patience: Duration) -> Result<Pruned, TombstoneError> {
    // Chosen first: what is visible here was committed before everything that is waited for below.
    let old = old(&deps.database, keep).await?;
    if old.is_empty() {
        return Ok(Pruned::Removed(0));
    }
    let before = lanes(deps).await?;
    if let Some(lane) = walked(deps, &before).await? {
        return Ok(Pruned::HeldBack(HeldBack::Replay(lane)));
    }
    if let Some(held_back) = behind(deps, &before, patience).await? {
        return Ok(Pruned::HeldBack(held_back));
    }
    // A sink that was added meanwhile is being filled, from this ledger too.
    let after = lanes(deps).await?;
    if after.iter().map(|lane| lane.epoch).ne(before.iter().map(|lane| lane.epoch)) {
        return Ok(Pruned::HeldBack(HeldBack::Changed));
    }
    if let Some(lane) = walked(deps, &after).await? {
        return Ok(Pruned::HeldBack(HeldBack::Replay(lane)));
    }
    remove(&deps.database, &old).await.map(Pruned::Removed)
}

async fn lanes(deps: &TombstoneDeps) -> Result<Vec<LaneInfo>, ProjectorError> {
    deps.lanes.lanes().await.map_err(ProjectorError::queue(ACTION))
}

async fn connect(database: &Database) -> Result<Client, ProjectorError> {
    database.get().await.map_err(ProjectorError::database(ACTION))
}

async fn old(database: &Database, keep: Duration) -> Result<Vec<Uuid>, ProjectorError> {
    let client = connect(database).await?;
    let rows =
        client.query(OLD_SQL, &[&keep.as_secs_f64(), &LOOK_MAX]).await.map_err(ProjectorError::database(ACTION))?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(ProjectorError::database(ACTION))
}

/// A lane that a replay walks into, if there is one.
async fn walked(deps: &TombstoneDeps, lanes: &[LaneInfo]) -> Result<Option<String>, TombstoneError> {
    for lane in lanes {
        let job = NoteLedger::new(Arc::clone(&deps.lanes), &lane.name).load().await?;
        if job.is_some_and(|job| job.state == JobState::Running) {
            return Ok(Some(lane.name.clone()));
        }
    }
    Ok(None)
}

/// Who has not passed what was committed before this call, if anybody.
async fn behind(
    deps: &TombstoneDeps,
    lanes: &[LaneInfo],
    patience: Duration,
) -> Result<Option<HeldBack>, ProjectorError> {
    if !passed(deps, None, patience).await? {
        return Ok(Some(HeldBack::CacheQueue));
    }
    for info in lanes {
        let lane = deps.lanes.lane(&info.name).await.map_err(ProjectorError::queue(ACTION))?;
        let Some(lane) = lane else { return Ok(Some(HeldBack::Changed)) };
        if !passed(deps, Some(&*lane), patience).await? {
            return Ok(Some(HeldBack::Lane(info.name.clone())));
        }
    }
    Ok(None)
}

async fn passed(
    deps: &TombstoneDeps,
    lane: Option<&dyn WorkQueue>,
    patience: Duration,
) -> Result<bool, ProjectorError> {
    tokio::select! {
        passed = caught_up(&deps.database, &*deps.source, &*deps.queue, lane, &*deps.clock) => passed.map(|()| true),
        () = deps.clock.sleep(patience) => Ok(false),
    }
}

async fn remove(database: &Database, old: &[Uuid]) -> Result<u64, TombstoneError> {
    let (client, mut removed) = (connect(database).await?, 0);
    for part in old.chunks(STATEMENT_MAX) {
        removed += client.execute(DELETE_SQL, &[&part]).await.map_err(ProjectorError::database(ACTION))?;
    }
    Ok(removed)
}
