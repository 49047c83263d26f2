//! Finding out by comparison what a stream of changes can no longer tell.
//!
//! Needed when the stream did not begin at the beginning: at the first start, with a queue that is not the one that was
//! filled before (its epoch differs), or when the server has forgotten changes that were never stored here. All documents
//! are walked in key order; those whose cached body is missing or of another version go into the queue. It runs beside
//! the live stream: versions decide, so it does not matter which of the two is first.
//!
//! It begins after the source is open, and waits first for every transaction that was running then: what commits later
//! comes through the stream, what was committed before is visible to the walk, and a commit that is flushed but not
//! visible belongs to neither unless it is waited for.
//!
//! Then the ledger of tombstones: a delete has taken its cached row with it (foreign key), so no comparison can show
//! whether the copies have heard of it. All of them are owed again; a copy that knows of one answers so, or (Kafka) has one
//! more record of it.
//!
//! What needs no looking for: cascades are rows of their own. A document that an open cascade will stamp is compared under its own version, since the stamp brings an entry anyway.

use crate::context::Context;
use crate::error::ProjectorError;
use crate::replay;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::{Work, WorkQueue};
use millstream_store::connect::{Client, Database};
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

const ACTION: &str = "comparing the cache with the tables";

/// How often a long wait looks again.
const POLL: Duration = Duration::from_millis(50);

/// Transactions of this database that may still commit. Each holds a lock on its own id until every session can see how
/// it ended; unlike an id in a snapshot, that tells one database from its neighbours, whose long transactions are not
/// waited for. Prepared transactions have no session.
const RUNNING_SQL: &str = r#"
SELECT l.transactionid::text FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts p ON p.transaction = l.transactionid
WHERE l.locktype = 'transactionid' AND l.granted
  AND (a.datid = (SELECT oid FROM pg_database WHERE datname = current_database()) OR p.database = current_database())"#;

const STILL_RUNNING_SQL: &str = r#"
SELECT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'transactionid' AND l.granted
               AND l.transactionid::text = ANY ($1::text[]))"#;

/// The page is cut before the comparison: a page of current documents is short work too.
const PAGE_SQL: &str = r#"
SELECT p."DocumentId", p."DocumentUuid", p."ResourceKeyId", p."ContentVersion",
       c."ContentVersion" IS DISTINCT FROM p."ContentVersion"
FROM (SELECT "DocumentId", "DocumentUuid", "ResourceKeyId", "ContentVersion" FROM "dms"."Document"
      WHERE "DocumentId" > $1::int8 ORDER BY "DocumentId" LIMIT $2::int8) p
LEFT JOIN "dms"."DocumentCache" c ON c."DocumentId" = p."DocumentId"
ORDER BY p."DocumentId""#;

/// What a page of the walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResyncPage {
    /// The last document compared: where the next page begins.
    pub cursor: i64,
    /// Documents compared.
    pub compared: usize,
    /// Documents found behind, which are durably in the queue now.
    pub enqueued: usize,
}

/// Compares one page of documents after `cursor` and puts those that are behind into the queue. `None`: there are no more.
pub async fn resync_page(
    database: &Database,
    queue: &dyn WorkQueue,
    clock: &dyn Clock,
    cursor: i64,
    page_size: usize,
) -> Result<Option<ResyncPage>, ProjectorError> {
    let client = database.get().await.map_err(ProjectorError::database(ACTION))?;
    let statement = client.prepare_cached(PAGE_SQL).await.map_err(ProjectorError::database(ACTION))?;
    let limit = i64::try_from(page_size.max(1)).unwrap_or(i64::MAX);
    let rows = client.query(&statement, &[&cursor, &limit]).await.map_err(ProjectorError::database(ACTION))?;
    let Some(last) = rows.last() else { return Ok(None) };
    let cursor = last.try_get(0).map_err(ProjectorError::database(ACTION))?;
    let now_ms = clock.now_ms();
    let mut behind = Vec::new();
    for row in &rows {
        behind.extend(owed(row, now_ms).map_err(ProjectorError::database(ACTION))?);
    }
    let enqueued = behind.len();
    if enqueued > 0 {
        queue.put(behind, None).await.map_err(ProjectorError::queue(ACTION))?;
    }
    Ok(Some(ResyncPage { cursor, compared: rows.len(), enqueued }))
}

/// The work that a compared row asks for, if any.
fn owed(row: &Row, now_ms: u64) -> Result<Option<Work>, tokio_postgres::Error> {
    if !row.try_get::<_, bool>(4)? {
        return Ok(None);
    }
    Ok(Some(Work {
        document_id: row.try_get(0)?,
        document_uuid: row.try_get(1)?,
        resource_key: row.try_get(2)?,
        version: row.try_get(3)?,
        // The row was seen, so whatever wrote it is visible.
        xid: 0,
        deleted: false,
        rebuild: true,
        cascade: false,
        repair: false,
        low_priority: true,
        attempts: 0,
        first_enqueued_at_ms: now_ms,
        not_before_ms: 0,
    }))
}

/// Walks all documents, then all tombstones. Pauses while the queue is full, so that a backlog stays bounded on disk.
pub(crate) async fn walk(context: &Context) -> Result<(), ProjectorError> {
    let (deps, options) = (&context.deps, context.options());
    outlast_running_transactions(context).await?;
    let mut cursor = i64::MIN;
    loop {
        wait_for_room(context).await?;
        let page = resync_page(&deps.database, &*deps.queue, &*deps.clock, cursor, options.resync_page).await?;
        let Some(page) = page else { break };
        context.counters.compared.add(page.compared);
        context.counters.enqueued.add(page.enqueued);
        cursor = page.cursor;
    }
    let mut after = Uuid::nil();
    loop {
        wait_for_room(context).await?;
        let (work, last) =
            replay::deleted_after(&deps.database, after, options.resync_page, deps.clock.now_ms()).await?;
        let Some(last) = last else { return Ok(()) };
        context.counters.enqueued.add(work.len());
        deps.queue.put(work, None).await.map_err(ProjectorError::queue(ACTION))?;
        after = last;
    }
}

async fn wait_for_room(context: &Context) -> Result<(), ProjectorError> {
    while queue_is_full(context).await? {
        context.deps.clock.sleep(POLL).await;
    }
    Ok(())
}

async fn queue_is_full(context: &Context) -> Result<bool, ProjectorError> {
    let stats = context.deps.queue.stats().await.map_err(ProjectorError::queue(ACTION))?;
    Ok(stats.depth > context.options().resync_queue_max)
}

async fn outlast_running_transactions(context: &Context) -> Result<(), ProjectorError> {
    let client = context.deps.database.get().await.map_err(ProjectorError::database(ACTION))?;
    let rows = client.query(RUNNING_SQL, &[]).await.map_err(ProjectorError::database(ACTION))?;
    let running = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>();
    let running = running.map_err(ProjectorError::database(ACTION))?;
    let started_ms = context.now_ms();
    let mut warned = false;
    while !running.is_empty() && any_runs(&client, &running).await? {
        let waited = Duration::from_millis(context.now_ms().saturating_sub(started_ms));
        if waited >= context.options().visibility_deadline && !warned {
            warned = true;
            let waited_s = waited.as_secs();
            tracing::warn!(waited_s, "resynchronisation waits for a transaction that was running when it began");
        }
        context.deps.clock.sleep(POLL).await;
    }
    Ok(())
}

async fn any_runs(client: &Client, running: &[String]) -> Result<bool, ProjectorError> {
    let statement = client.prepare_cached(STILL_RUNNING_SQL).await.map_err(ProjectorError::database(ACTION))?;
    let row = client.query_one(&statement, &[&running]).await.map_err(ProjectorError::database(ACTION))?;
    row.try_get(0).map_err(ProjectorError::database(ACTION))
}
