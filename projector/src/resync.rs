//! The resync: comparing all documents with the cache when the stream of changes has a gap.
//!
//! A gap exists at the first start, with a queue other than the one that was filled before (its epoch differs), or when
//! the server has removed changes that never reached the queue. The walk compares all documents in key order and
//! enqueues those whose cached body is missing or of another version. It runs beside the live stream: versions decide,
//! so the order of the two does not matter.
//!
//! The walk starts after the source is open and first waits for every transaction that was running then. A later commit
//! comes through the stream, an earlier one is visible to the walk; a commit that is flushed but not visible belongs to
//! neither unless it is waited for.
//!
//! All tombstones follow: a delete removes the cached row with it (foreign key), so no comparison can show whether the
//! sinks know of it. A sink that knows of it already reports so, or (Kafka) gets one more record.
//!
//! Cascades need no comparison, they are rows themselves. A document that an open cascade will stamp is compared under
//! its own version; the stamp brings another entry.

use crate::backlog::wait_until_below;
use crate::context::Context;
use crate::error::{During, ProjectorError};
use crate::replay::page::deleted_after;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::{Work, WorkQueue};
use millstream_store::connect::Database;
use millstream_store::table::comparison::{self, ComparedDocument};
use millstream_store::table::transactions;
use std::time::Duration;
use uuid::Uuid;

const ACTION: &str = "comparing the cache with the tables";

/// Interval at which a full queue or a running transaction is checked again.
const POLL: Duration = Duration::from_millis(50);

/// The result of one page of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResyncPage {
    /// The last document compared: the next page starts after it.
    pub cursor: i64,
    /// Documents compared.
    pub compared: usize,
    /// Stale documents, now durable in the queue.
    pub enqueued: usize,
}

/// Compares one page of documents after `cursor` and enqueues the stale ones. Returns `None` at the end.
///
/// # Errors
/// When the database or the queue fails.
pub async fn resync_page(
    database: &Database,
    queue: &dyn WorkQueue,
    clock: &dyn Clock,
    cursor: i64,
    page_size: usize,
) -> Result<Option<ResyncPage>, ProjectorError> {
    let client = database.get().await.during(ACTION)?;
    let limit = i64::try_from(page_size.max(1)).unwrap_or(i64::MAX);
    let documents = comparison::page(&client, cursor, limit).await.during(ACTION)?;
    let Some(last) = documents.last() else { return Ok(None) };
    let cursor = last.document_id;
    let now_ms = clock.now_ms();
    let stale: Vec<Work> =
        documents.iter().filter(|document| document.stale).map(|document| rebuild_work(document, now_ms)).collect();
    let enqueued = stale.len();
    if enqueued > 0 {
        queue.put(stale, None).await.during(ACTION)?;
    }
    Ok(Some(ResyncPage { cursor, compared: documents.len(), enqueued }))
}

fn rebuild_work(document: &ComparedDocument, now_ms: u64) -> Work {
    Work::of_row(document.document_id, document.uuid, document.resource_key, document.version, false, now_ms)
}

/// Walks all documents, then all tombstones. Pauses while the queue is full, so that the backlog stays bounded on disk.
pub(crate) async fn walk(context: &Context) -> Result<(), ProjectorError> {
    let (deps, options) = (&context.deps, context.options());
    outlast_running_transactions(context).await?;
    let mut cursor = i64::MIN;
    loop {
        wait_until_below(&*deps.queue, &*deps.clock, options.resync_queue_max).await?;
        let page = resync_page(&deps.database, &*deps.queue, &*deps.clock, cursor, options.resync_page).await?;
        let Some(page) = page else { break };
        context.counters.compared.add(page.compared);
        context.counters.enqueued.add(page.enqueued);
        cursor = page.cursor;
    }
    let mut after = Uuid::nil();
    loop {
        wait_until_below(&*deps.queue, &*deps.clock, options.resync_queue_max).await?;
        let (work, last) = deleted_after(&deps.database, after, options.resync_page, deps.clock.now_ms()).await?;
        let Some(last) = last else { return Ok(()) };
        context.counters.enqueued.add(work.len());
        deps.queue.put(work, None).await.during(ACTION)?;
        after = last;
    }
}

async fn outlast_running_transactions(context: &Context) -> Result<(), ProjectorError> {
    let client = context.deps.database.get().await.during(ACTION)?;
    let running = transactions::running(&client).await.during(ACTION)?;
    let started_ms = context.now_ms();
    let mut warned = false;
    while transactions::any_running(&client, &running).await.during(ACTION)? {
        let waited = Duration::from_millis(context.now_ms().saturating_sub(started_ms));
        if waited >= context.options().visibility_deadline && !warned {
            warned = true;
            let waited_s = waited.as_secs();
            tracing::warn!(waited_s, "resync is waiting for a transaction that was running when it started");
        }
        context.deps.clock.sleep(POLL).await;
    }
    Ok(())
}
