//! Waiting until a copy contains everything that was committed before the call.
//!
//! A committed change lies before the server's log position, and so before some position in the stream of changes. Once
//! the source has reached that position the change is in the queue; once no queue entry is older than that moment it is
//! in the cache; the same holds for a lane and its sink. The stamps of an open cascade come through the source again,
//! so the wait is repeated for them. While a comparison of all documents is pending, the stream alone proves nothing.

use crate::error::{During, ProjectorError};
use crate::intake::source::SourceFactory;
use crate::options::CONSUMER;
use millstream_outbox::progress;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::WorkQueue;
use millstream_store::connect::Database;
use millstream_store::table::{cascade, history, sequence, server};
use std::time::Duration;
use tokio::time::Instant;

const ACTION: &str = "reading how far the database has come";

/// Pause between reads of a queue or of the open cascades.
const POLL: Duration = Duration::from_millis(5);

/// Pause between reads of the stored progress and of the source's position.
const PROGRESS_POLL: Duration = Duration::from_millis(50);

/// A difference between the system clock and the monotonic one that is taken for a step.
const STEP_MS: u64 = 1_000;

/// Returns the largest version given to any document, committed or not.
///
/// # Errors
/// When the database does not answer.
pub async fn newest_version(database: &Database) -> Result<i64, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    sequence::newest_version(&client).await.during(ACTION)
}

/// Completes when everything that was committed before the call is in the cache and, with a `lane`, delivered there.
///
/// Waits for entries that are retried, not for those in quarantine. It has no deadline: the caller sets one.
/// Cancellation safe. Works in any process that has the queue and is configured for the same `source`, also if another
/// process follows the outbox.
///
/// # Errors
/// When the database, the source or the queue does not answer, or the source cannot map a log position to its stream.
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

/// Waits until everything committed before the call has arrived in the cache queue and left it.
async fn cached(
    database: &Database,
    source: &dyn SourceFactory,
    queue: &dyn WorkQueue,
    clock: &dyn Clock,
) -> Result<(), ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    // Not the flushed position: with `synchronous_commit = off` an answered write may lie above it.
    let lsn = server::wal_end(&*client).await.during(ACTION)?.into();
    drop(client);
    while !is_followed(database, source, queue).await? {
        clock.sleep(PROGRESS_POLL).await;
    }
    let target = loop {
        match source.covering(lsn).await.during(ACTION)? {
            Some(position) => break position,
            None => clock.sleep(PROGRESS_POLL).await,
        }
    };
    while queue.position().await.during(ACTION)?.is_none_or(|position| position < target) {
        clock.sleep(POLL).await;
    }
    // Changes may have been lost meanwhile: the position is then past them, and a comparison is pending.
    while !is_followed(database, source, queue).await? {
        clock.sleep(PROGRESS_POLL).await;
    }
    passed(queue, clock).await
}

/// Whether the queue is complete apart from this stream: no comparison is pending, and its position belongs to the
/// stream and to the present history of the database.
async fn is_followed(
    database: &Database,
    source: &dyn SourceFactory,
    queue: &dyn WorkQueue,
) -> Result<bool, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    let progress = progress::load(&*client, CONSUMER).await.during(ACTION)?;
    let history = history::number(&*client).await.during(ACTION)?;
    let followed = progress.map(|progress| progress.origin).is_some_and(|origin| {
        origin.epoch == queue.epoch() && origin.history == history && source.stream().continues(origin.stream.as_ref())
    });
    Ok(followed)
}

/// Waits until no entry of the queue is older than this call; if ages are unknown, until the queue is empty. After a step
/// of the system clock they are: entries are stamped with it.
async fn passed(queue: &dyn WorkQueue, clock: &dyn Clock) -> Result<(), ProjectorError> {
    let (since_ms, started) = (clock.now_ms(), Instant::now());
    loop {
        let stats = queue.stats().await.during(ACTION)?;
        let now_ms = clock.now_ms();
        let expected_ms = since_ms.saturating_add(started.elapsed().as_millis() as u64);
        let stepped = now_ms.abs_diff(expected_ms) > STEP_MS;
        let oldest_ms = now_ms.saturating_sub(stats.oldest_age_ms);
        if stats.depth == 0 || (!stats.ages_unknown && !stepped && oldest_ms > since_ms) {
            return Ok(());
        }
        clock.sleep(POLL).await;
    }
}

async fn any_cascade(database: &Database) -> Result<bool, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    cascade::any_open(&client).await.during(ACTION)
}
