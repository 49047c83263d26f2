//! When a copy shows everything that was committed before somebody asked.
//!
//! What was committed lies before the server's position in its log, and so before some position in the stream of changes;
//! once the source has brought us there, it is in the queue; once nothing in the queue is older than that moment, it is in
//! the cache; and so on along the line. Renames whose cascade is still open come back through the source, so the way is
//! gone a second time for them. While a comparison of all documents is owed, the stream alone says nothing.

use crate::error::ProjectorError;
use crate::intake::SourceFactory;
use crate::options::CONSUMER;
use millstream_outbox::progress;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::WorkQueue;
use millstream_store::connect::Database;
use std::time::Duration;
use tokio_postgres::types::PgLsn;

const ACTION: &str = "asking how far the database has come";

/// Pause between two looks at what waits.
const POLL: Duration = Duration::from_millis(5);

/// Pause between two questions to those who know how far the stream is.
const ASK_AGAIN: Duration = Duration::from_millis(50);

const POSITION_SQL: &str = "SELECT pg_current_wal_flush_lsn()";

const CASCADES_SQL: &str = r#"SELECT EXISTS (SELECT FROM "dms"."Cascade")"#;

const VERSION_SQL: &str = r#"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM "dms"."ChangeVersionSequence""#;

/// The largest version that was given to any document, committed or not.
///
/// # Errors
/// When the database does not answer.
pub async fn newest_version(database: &Database) -> Result<i64, ProjectorError> {
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let row = client.query_one(VERSION_SQL, &[]).await.map_err(ProjectorError::database(ACTION))?;
    row.try_get(0).map_err(ProjectorError::database(ACTION))
}

/// Completes when everything that was committed before the call is in the cache and, with a `lane`, delivered there.
/// What is in quarantine is not waited for; what is tried again is. Takes as long as it takes: the deadline is the
/// caller's. Cancellation safe. Works in any process that has the queue and is configured for the same `source`, whoever
/// follows the outbox.
///
/// # Errors
/// When the database, the source or the queue does not answer, or the source cannot tell how far it has to be followed.
pub async fn caught_up(
    database: &Database,
    source: &dyn SourceFactory,
    queue: &dyn WorkQueue,
    lane: Option<&dyn WorkQueue>,
    clock: &dyn Clock,
) -> Result<(), ProjectorError> {
    loop {
        let renames = any_cascade(database).await?;
        cached(database, source, queue, clock).await?;
        if !renames {
            break;
        }
        while any_cascade(database).await? {
            clock.sleep(POLL).await;
        }
    }
    match lane {
        Some(lane) => passed(lane, clock).await,
        None => Ok(()),
    }
}

/// Everything committed until now has arrived and left the stage.
async fn cached(
    database: &Database,
    source: &dyn SourceFactory,
    queue: &dyn WorkQueue,
    clock: &dyn Clock,
) -> Result<(), ProjectorError> {
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let row = client.query_one(POSITION_SQL, &[]).await.map_err(ProjectorError::database(ACTION))?;
    drop(client);
    let lsn: PgLsn = row.try_get(0).map_err(ProjectorError::database(ACTION))?;
    while !is_followed(database, source, queue).await? {
        clock.sleep(ASK_AGAIN).await;
    }
    let target = loop {
        match source.covering(lsn.into()).await.map_err(ProjectorError::source(ACTION))? {
            Some(position) => break position,
            None => clock.sleep(ASK_AGAIN).await,
        }
    };
    while queue.position().await.map_err(ProjectorError::queue(ACTION))?.is_none_or(|position| position < target) {
        clock.sleep(POLL).await;
    }
    // Changes may have turned out to be lost meanwhile: the position lies behind them then, and a comparison is owed.
    while !is_followed(database, source, queue).await? {
        clock.sleep(ASK_AGAIN).await;
    }
    passed(queue, clock).await
}

/// Whether the queue has everything that this stream does not bring: no comparison is owed, and its position is one in
/// this stream.
async fn is_followed(
    database: &Database,
    source: &dyn SourceFactory,
    queue: &dyn WorkQueue,
) -> Result<bool, ProjectorError> {
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let progress = progress::load(&**client, CONSUMER).await.map_err(ProjectorError::outbox(ACTION))?;
    let followed = progress
        .map(|progress| progress.origin)
        .is_some_and(|origin| origin.epoch == queue.epoch() && source.stream().continues(origin.stream.as_ref()));
    Ok(followed)
}

/// Nothing in the queue is older than this call; where ages are not known, nothing is in it.
async fn passed(queue: &dyn WorkQueue, clock: &dyn Clock) -> Result<(), ProjectorError> {
    let since_ms = clock.now_ms();
    loop {
        let stats = queue.stats().await.map_err(ProjectorError::queue(ACTION))?;
        let oldest_ms = clock.now_ms().saturating_sub(stats.oldest_age_ms);
        if stats.depth == 0 || (!stats.ages_unknown && oldest_ms > since_ms) {
            return Ok(());
        }
        clock.sleep(POLL).await;
    }
}

async fn any_cascade(database: &Database) -> Result<bool, ProjectorError> {
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let row = client.query_one(CASCADES_SQL, &[]).await.map_err(ProjectorError::database(ACTION))?;
    row.try_get(0).map_err(ProjectorError::database(ACTION))
}
