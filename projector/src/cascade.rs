//! The cascade: giving a rename's version to the documents that embed the renamed one.
//!
//! A row of `dms.Cascade` says: document m was renamed at version c, and its referrers beyond `Cursor` have not been
//! stamped. A page takes the next referrers in key order, stamps those whose version is below c with **c itself**,
//! appends a `touch` to the outbox for each, and moves the cursor, all in one transaction: a crash repeats the page,
//! which finds nothing to do (docs/design/rules.md#rule-2).
//!
//! The stamp is c and not a new version because readers have seen the referrers under c since the rename became visible
//! (the effective version, docs/design/rules.md#rule-3): the stamp changes no etag. The renamed document needs no `FOR
//! SHARE` lock: renames become visible in the order of their versions, and a writer of a referrer holds the renamed
//! document's lock while it draws, so its version is above c and `< c` skips it. For the same reason the edge is not
//! read again once the row is locked: a document that was pointed elsewhere meanwhile is above c too.

pub(crate) mod deferred;

use crate::context::Context;
use crate::error::{During, ProjectorError};
use deferred::CascadeKey;
use millstream_pipeline::{ChangeKind, NewChange};
use millstream_store::connect::{Database, Transaction};
use millstream_store::error::StoreError;
use millstream_store::retry::{RetryError, RetryPolicy, with_retry};
use millstream_store::table::cascade::{self, OpenCascade};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

const ACTION: &str = "working off a page of a cascade";

/// The result of one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CascadePage {
    /// The renamed document.
    pub document_id: i64,
    /// The version of its rename.
    pub version: i64,
    /// Referrers read.
    pub looked_at: usize,
    /// Referrers that were below the version and carry it now.
    pub stamped: usize,
    /// This was the last page: the cascade is closed.
    pub finished: bool,
}

/// Processes one page of the oldest open cascade that no other worker holds. Returns `None` if there is none.
///
/// Runs one transaction, and retries it after deadlocks and serialization failures.
///
/// # Errors
/// When the database fails. The cascade is then unchanged.
pub async fn stamp_page(database: &Database, page_size: usize) -> Result<Option<CascadePage>, ProjectorError> {
    work_off_page_except(database, page_size, &[]).await.map_err(|failed| failed.error)
}

/// A page that failed.
#[derive(Debug)]
struct FailedPage {
    /// The cascade that it belongs to, unless the failure came before one was taken.
    cascade: Option<CascadeKey>,
    error: ProjectorError,
}

/// [`stamp_page`] of any cascade but these.
async fn work_off_page_except(
    database: &Database,
    page_size: usize,
    except: &[CascadeKey],
) -> Result<Option<CascadePage>, FailedPage> {
    let taken = Mutex::new(None);
    let policy = RetryPolicy::default();
    let page = with_retry(&policy, "cascade page", |_| async {
        let mut client = database.get().await.during(ACTION)?;
        let tx = client.transaction().await.during(ACTION)?;
        let Some(open) = cascade::take_oldest(&tx, except).await.during(ACTION)? else { return Ok(None) };
        *taken.lock() = Some((open.document_id, open.version));
        let page = page(&tx, open, page_size.max(1)).await?;
        tx.commit().await.during(ACTION)?;
        Ok(Some(page))
    });
    page.await
        .map_err(|error: RetryError<ProjectorError>| FailedPage { cascade: *taken.lock(), error: error.into_last() })
}

async fn page(tx: &Transaction<'_>, open: OpenCascade, page_size: usize) -> Result<CascadePage, ProjectorError> {
    let limit = i64::try_from(page_size).unwrap_or(i64::MAX);
    let referrers = cascade::referrers(tx, &open, limit).await.during(ACTION)?;
    let below = match referrers.is_empty() {
        true => Vec::new(),
        false => cascade::lock_below(tx, &referrers, open.version).await.during(ACTION)?,
    };
    let stamped = stamp(tx, &open, &below).await?;
    if stamped != below.len() {
        // This transaction locked the rows below the version: no other one can have changed them.
        let problem = format!("{} referrers were locked, {stamped} were stamped", below.len());
        return Err(ProjectorError::database(ACTION, StoreError::other(problem)));
    }

    let finished = referrers.len() < page_size;
    match referrers.last() {
        Some(last) if !finished => cascade::move_cursor(tx, &open, *last).await.during(ACTION)?,
        _ => cascade::close(tx, &open).await.during(ACTION)?,
    }
    let OpenCascade { document_id, version, .. } = open;
    Ok(CascadePage { document_id, version, looked_at: referrers.len(), stamped, finished })
}

/// Gives the locked referrers the cascade's version and appends a change record for each.
async fn stamp(tx: &Transaction<'_>, open: &OpenCascade, below: &[i64]) -> Result<usize, ProjectorError> {
    if below.is_empty() {
        return Ok(0);
    }
    let stamped = cascade::stamp(tx, open, below).await.during(ACTION)?;
    let touch = |referrer: &cascade::StampedReferrer| NewChange {
        document_id: referrer.document_id,
        document_uuid: referrer.uuid,
        resource_key: referrer.resource_key,
        kind: ChangeKind::Touch,
        content_version: open.version,
    };
    let touches: Vec<NewChange> = stamped.iter().map(touch).collect();
    millstream_outbox::append(tx, &touches).await.during(ACTION)?;
    Ok(touches.len())
}

/// The loop of one cascade worker: processes pages of the oldest open cascade until `stop`, then finishes the current
/// page.
///
/// Open cascades are read from the table, not remembered: at the start, when a rename has become visible, and by a slow
/// scan that also finds cascades opened while no process followed the changes.
///
/// A cascade whose page fails, or waits for a lock for too long, is passed over for a growing time ([`deferred`]):
/// younger ones go on meanwhile.
///
/// # Errors
/// Never: a failure is logged and retried, and the table keeps the progress.
pub(crate) async fn work(context: &Context, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let (clock, options) = (&context.deps.clock, context.options());
    let mut failures = options.outage_backoff.attempts();
    while !stop.is_cancelled() {
        let except = context.deferred_cascades().at(context.now_ms());
        let pause = match work_off_page_except(&context.deps.database, options.cascade_page, &except).await {
            Ok(Some(page)) => {
                failures.succeed();
                context.deferred_cascades().succeeded((page.document_id, page.version));
                context.counters.pages.add(1);
                context.counters.stamped.add(page.stamped);
                context.counters.cascades_finished.add(usize::from(page.finished));
                continue;
            }
            Ok(None) => {
                failures.succeed();
                let deferred = context.deferred_cascades().next_in(context.now_ms());
                deferred.map_or(options.cascade_scan_interval, |next| next.min(options.cascade_scan_interval))
            }
            Err(FailedPage { cascade: Some(cascade), error }) if !error.is_outage() => {
                context.counters.cascade_failures.add(1);
                let delay = context.deferred_cascades().failed(cascade, context.now_ms());
                context.will_retry(&error, delay);
                continue;
            }
            Err(FailedPage { error, .. }) => {
                context.counters.cascade_failures.add(1);
                let delay = failures.fail();
                context.will_retry(&error, delay);
                delay
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = context.cascade_opened.notified() => {}
            () = clock.sleep(pause) => {}
        }
    }
    Ok(())
}
