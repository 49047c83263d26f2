//! The rebuild: from queue entries to rows of `dms.DocumentCache`.
//!
//! A batch is read in one snapshot ([`snapshot`]): whether each entry's transaction is visible, the documents' versions,
//! their bodies. Each entry is judged by what that snapshot shows ([`judgement`]). Bodies are stored afterwards, outside
//! the snapshot, by a statement that refuses whatever was overtaken meanwhile. An entry leaves the queue only when its
//! fate is known; everything else is looked at again.
//!
//! Nothing waits for anything else: an entry that is not visible goes back alone, a document that cannot be composed or
//! stored fails alone. If a statement fails because of some document's content, the batch is halved until that document
//! stands by itself ([`failure_scope`]).

mod decision;
mod failure_scope;
mod snapshot;
mod worker;

pub(crate) use worker::work;

use crate::context::{Awaited, Context};
use crate::error::{ProjectorError, chain};
use crate::forward::{RebuildOutcome, forward_to_lanes};
use decision::RebuildDecision;
use failure_scope::{FailureScope, failure_scope};
use millstream_pipeline::queue::{Settled, Taken, Ticket};
use millstream_store::table::cache::{self, CacheOutcome, CacheRow, SameVersion};
use millstream_store::compose::Composed;
use snapshot::{Seen, Wanted};
use std::collections::{HashMap, HashSet};

type Settlements = Vec<(Ticket, Settled)>;

/// What became of a batch. Every entry is settled exactly once.
#[derive(Debug, Default)]
pub(crate) struct Rebuilt {
    pub(crate) settlements: Settlements,
    /// Why part of it has to wait for the database.
    pub(crate) outage: Option<ProjectorError>,
}

/// Rebuilds a batch. `outage_delay` is how long entries stay away if the database cannot be worked with.
pub(crate) async fn rebuild(context: &Context, batch: Vec<Taken>, outage_delay: std::time::Duration) -> Rebuilt {
    let mut rebuilt = Rebuilt::default();
    let mut parts = vec![batch];
    while let Some(mut part) = parts.pop() {
        let error = match rebuild_together(context, &part).await {
            Ok(settlements) => {
                rebuilt.settlements.extend(settlements);
                continue;
            }
            Err(error) => error,
        };
        match (failure_scope(&error), part.len()) {
            (FailureScope::Documents, 1) => rebuilt.settlements.push(failed(context, &part[0], chain(&error))),
            (FailureScope::Documents, len) => {
                parts.push(part.split_off(len / 2));
                parts.push(part);
            }
            (FailureScope::Database, _) => {
                // The rest would fail in the same way.
                parts.push(part);
                let not_before_ms = context.now_ms().saturating_add(outage_delay.as_millis() as u64);
                let waiting = parts.drain(..).flatten();
                rebuilt.settlements.extend(waiting.map(|taken| (taken.ticket, Settled::RetryAt { not_before_ms })));
                rebuilt.outage = Some(error);
            }
        }
    }
    rebuilt
}

/// One snapshot, one upsert. An error says nothing about any single entry: none was settled.
async fn rebuild_together(context: &Context, batch: &[Taken]) -> Result<Settlements, ProjectorError> {
    let deps = &context.deps;
    let wanted: Vec<Wanted> = batch
        .iter()
        .map(|Taken { work, .. }| Wanted {
            document_id: work.document_id,
            version: work.version,
            xid: work.xid,
            deleted: work.deleted,
        })
        .collect();
    let seen = snapshot::read(&deps.database, &deps.mapping, &deps.caches, &wanted).await?;
    let mut composed = store(context, &seen).await?;

    let looks = Looks::at(context, batch, &seen.judgements);
    let mut settlements = Vec::with_capacity(batch.len());
    for (taken, judgement) in batch.iter().zip(&seen.judgements) {
        settlements.push(match judgement {
            RebuildDecision::NotVisible | RebuildDecision::Contradicted => looks.retry(taken, *judgement),
            RebuildDecision::Gone => {
                context.counters.gone.add(1);
                forward_to_lanes(taken, RebuildOutcome::Gone)
            }
            RebuildDecision::AwaitsStamp => {
                context.counters.awaits_stamp.add(1);
                forward_to_lanes(taken, RebuildOutcome::AwaitsStamp)
            }
            RebuildDecision::Compose => match composed.remove(&taken.work.document_id) {
                Some(Ok((version, outcome))) => settle_stored(context, taken, version, outcome),
                Some(Err(reason)) => failed(context, taken, reason),
                None => failed(context, taken, "its body was not composed: the batch lost it".to_owned()),
            },
        });
    }
    announce_cascades(context, batch, &seen.judgements);
    Ok(settlements)
}

/// A version and what became of its body, or why there is none.
type Stored = Result<(i64, CacheOutcome), String>;

/// Stores what was composed, by document.
async fn store(context: &Context, seen: &Seen) -> Result<HashMap<i64, Stored>, ProjectorError> {
    const ACTION: &str = "storing bodies in the cache";
    let mut fates = HashMap::with_capacity(seen.composed.len());
    let mut rows = Vec::with_capacity(seen.composed.len());
    for Composed { head, body } in &seen.composed {
        match body {
            Ok(body) => rows.push(CacheRow { head, body }),
            Err(error) => drop(fates.insert(head.document_id, Err(chain(error)))),
        }
    }
    if rows.is_empty() {
        return Ok(fates);
    }
    let client = context.deps.database.get().await.map_err(ProjectorError::database(ACTION))?;
    // What was just composed is the truth: if the cache holds other bytes at this version, they are damaged.
    let outcomes =
        cache::upsert(&client, &rows, SameVersion::Repair).await.map_err(ProjectorError::database(ACTION))?;
    let stored = |(row, outcome): (&CacheRow<'_>, _)| (row.head.document_id, Ok((row.head.content_version, outcome)));
    fates.extend(rows.iter().zip(outcomes).map(stored));
    Ok(fates)
}

fn settle_stored(context: &Context, taken: &Taken, version: i64, outcome: CacheOutcome) -> (Ticket, Settled) {
    let counters = &context.counters;
    match outcome {
        CacheOutcome::Stored => {
            counters.stored.add(1);
            counters.stored_version.raise(version.max(0) as u64);
            // Touches and resynchronised documents wait for direct edits on purpose: they would tell another story.
            if !taken.work.low_priority {
                let lag_ms = context.now_ms().saturating_sub(taken.work.first_enqueued_at_ms);
                metrics::histogram!(crate::metrics::CACHE_LAG_MS).record(lag_ms as f64);
            }
            forward_to_lanes(taken, RebuildOutcome::Cached { version, repaired: false })
        }
        CacheOutcome::Repaired => {
            counters.repaired.add(1);
            let document = taken.work.document_uuid;
            tracing::warn!(%document, version, "the cached body differed from the tables at its version: repaired");
            forward_to_lanes(taken, RebuildOutcome::Cached { version, repaired: true })
        }
        CacheOutcome::Unchanged => {
            counters.superseded.add(1);
            forward_to_lanes(taken, RebuildOutcome::Cached { version, repaired: false })
        }
        CacheOutcome::Superseded | CacheOutcome::Differs => {
            counters.superseded.add(1);
            forward_to_lanes(taken, RebuildOutcome::Superseded)
        }
    }
}

/// A failure that is this document's own: it is tried again later, and quarantined by the queue in the end.
fn failed(context: &Context, taken: &Taken, reason: String) -> (Ticket, Settled) {
    context.counters.failures.add(1);
    let work = &taken.work;
    let attempt = work.attempts.saturating_add(1);
    let delay = context.options().poison_backoff.delay(attempt);
    tracing::warn!(document = %work.document_uuid, version = work.version, attempt, reason, "a document failed");
    let not_before_ms = context.now_ms().saturating_add(delay.as_millis() as u64);
    (taken.ticket, Settled::Failed { not_before_ms, reason })
}

/// A rename's cascade row became visible with its transaction: whoever works cascades off can find it now.
fn announce_cascades(context: &Context, batch: &[Taken], judgements: &[RebuildDecision]) {
    let visible = |judgement: &RebuildDecision| *judgement != RebuildDecision::NotVisible;
    if batch.iter().zip(judgements).any(|(taken, judgement)| taken.work.cascade && visible(judgement)) {
        // All who wait now; and, for who is just about to wait, a permit.
        context.cascade_opened.notify_waiters();
        context.cascade_opened.notify_one();
    }
}

/// When to look again at what one batch could not see.
struct Looks {
    retries: HashMap<Awaited, u64>,
}

impl Looks {
    /// Counts one look a transaction, however many of its documents are in the batch, and forgets what arrived.
    fn at(context: &Context, batch: &[Taken], judgements: &[RebuildDecision]) -> Self {
        let now_ms = context.now_ms();
        let mut missing = HashSet::new();
        let mut retries = HashMap::new();
        let mut holds = context.holds();
        for (taken, judgement) in batch.iter().zip(judgements) {
            let Some(awaited) = awaited(taken, *judgement) else {
                if !holds.is_empty() {
                    holds.arrived(&Awaited::Transaction(taken.work.xid));
                    holds.arrived(&Awaited::Document(taken.work.document_id));
                }
                continue;
            };
            match awaited {
                Awaited::Transaction(_) => context.counters.held.add(1),
                Awaited::Document(_) => context.counters.contradicted.add(1),
            }
            if !missing.insert(awaited) {
                continue;
            }
            let verdict = holds.still_missing(awaited, now_ms);
            if verdict.alarm {
                alarm(context, taken, awaited, verdict.waited);
            }
            retries.insert(awaited, now_ms.saturating_add(verdict.delay.as_millis() as u64));
        }
        context.counters.holds.set(holds.len() as u64);
        Self { retries }
    }

    fn retry(&self, taken: &Taken, judgement: RebuildDecision) -> (Ticket, Settled) {
        let at = awaited(taken, judgement).and_then(|awaited| self.retries.get(&awaited)).copied();
        (taken.ticket, Settled::RetryAt { not_before_ms: at.unwrap_or(0) })
    }
}

fn awaited(taken: &Taken, judgement: RebuildDecision) -> Option<Awaited> {
    match judgement {
        RebuildDecision::NotVisible => Some(Awaited::Transaction(taken.work.xid)),
        RebuildDecision::Contradicted => Some(Awaited::Document(taken.work.document_id)),
        _ => None,
    }
}

fn alarm(context: &Context, taken: &Taken, awaited: Awaited, waited: std::time::Duration) {
    context.counters.alarms.add(1);
    let (document, version) = (taken.work.document_uuid, taken.work.version);
    let waited_s = waited.as_secs();
    match awaited {
        Awaited::Transaction(xid) => tracing::error!(
            %document, version, xid, waited_s,
            "a commit was received but is still not visible: is synchronous replication waiting for a standby, or was \
             the database restored from a backup (then resynchronise)?"
        ),
        Awaited::Document(_) => tracing::error!(
            %document, version, waited_s,
            "the rows of a document are older than its visible change record: run verify; after a restore resynchronise"
        ),
    }
}
