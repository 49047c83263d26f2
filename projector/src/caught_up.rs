//! When a copy shows everything that was committed before somebody asked.
//!
//! What was committed lies before the server's position in its log; once the source has brought us there, it is in the
//! queue; once nothing in the queue is older than that moment, it is in the cache; and so on along the line. Renames
//! whose cascade is still open come back through the source, so the way is gone a second time for them.

use crate::error::ProjectorError;
use millstream_outbox::Position;
use millstream_outbox::clock::Clock;
use millstream_outbox::queue::WorkQueue;
use millstream_store::connect::Database;
use std::time::Duration;
use tokio_postgres::types::PgLsn;

const ACTION: &str = "asking how far the database has come";

/// Pause between two looks at what waits.
const POLL: Duration = Duration::from_millis(5);

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
/// caller's. Cancellation safe. Works in any process that has the queue, whoever follows the outbox.
///
/// # Errors
/// When the database or the queue does not answer.
pub async fn caught_up(
    database: &Database,
    queue: &dyn WorkQueue,
    lane: Option<&dyn WorkQueue>,
    clock: &dyn Clock,
) -> Result<(), ProjectorError> {
    loop {
        let renames = any_cascade(database).await?;
        cached(database, queue, clock).await?;
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
async fn cached(database: &Database, queue: &dyn WorkQueue, clock: &dyn Clock) -> Result<(), ProjectorError> {
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let row = client.query_one(POSITION_SQL, &[]).await.map_err(ProjectorError::database(ACTION))?;
    drop(client);
    let lsn: PgLsn = row.try_get(0).map_err(ProjectorError::database(ACTION))?;
    let target = Position::before(lsn.into());
    while queue.position().await.map_err(ProjectorError::queue(ACTION))?.is_none_or(|position| position < target) {
        clock.sleep(POLL).await;
    }
    passed(queue, clock).await
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
