//! Rebuilding one batch, and the settlement of each of its entries.

use super::decision::RebuildDecision;
use super::failure_scope::{FailureScope, failure_scope};
use super::part::RebuildPart;
use super::snapshot::{self, RebuildRequest, SnapshotRead};
use super::visibility::VisibilityRetries;
use crate::context::Context;
use crate::error::{During, ProjectorError};
use millstream_pipeline::error::chain;
use millstream_pipeline::queue::{Settled, Taken, Ticket};
use millstream_store::compose::Composed;
use millstream_store::table::cache::{self, CacheOutcome, CacheRow, SameVersion};
use std::collections::HashMap;
use std::time::Duration;

type Settlements = Vec<(Ticket, Settled)>;

/// The result of a batch. Every entry is settled exactly once.
#[derive(Debug, Default)]
pub(super) struct RebuiltBatch {
    pub(super) settlements: Settlements,
    /// The database failure that part of the batch has to wait for.
    pub(super) outage: Option<ProjectorError>,
}

/// The outcome for a document whose decision is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RebuildOutcome {
    /// The cache holds the body of this version, stored now or before.
    Cached {
        /// The version that the body was composed at.
        version: i64,
        /// The cache held other bytes at this version, which the sinks may hold too.
        repaired: bool,
    },
    /// The document is gone, and its cached row with it.
    Gone,
    /// A newer version is cached or on its way.
    Superseded,
    /// An open cascade will stamp the document; the stamp brings another entry.
    AwaitsStamp,
}

/// The result of storing one composed document.
#[derive(Debug)]
enum StoreResult {
    /// Its version, and what became of its body.
    Stored(i64, CacheOutcome),
    /// The reason why it could not be composed.
    NotComposed(String),
}

/// Rebuilds a batch, in parts that fit into memory. If the database is unusable, entries are retried after
/// `outage_delay`.
pub(super) async fn rebuild(context: &Context, batch: Vec<Taken>, outage_delay: Duration) -> RebuiltBatch {
    let memory = &context.deps.memory;
    let mut rebuilt = RebuiltBatch::default();
    let mut parts = vec![RebuildPart::of_batch(batch, memory)];
    while let Some(mut part) = parts.pop() {
        let reserved = match part.reserve(memory).await {
            Ok(reserved) => reserved,
            Err(over) => {
                let reason = format!("its rows do not fit into memory: {over}");
                let settled = part.entries.iter().map(|taken| failed(context, taken, reason.clone()));
                rebuilt.settlements.extend(settled);
                continue;
            }
        };
        let result = rebuild_together(context, &mut part).await;
        drop(reserved);
        let error = match result {
            Ok((settlements, deferred)) => {
                context.cancelled_rebuilds().succeeded(part.entries.iter().map(|taken| taken.work.document_id));
                rebuilt.settlements.extend(settlements);
                parts.extend(deferred);
                continue;
            }
            Err(error) => error,
        };
        match (failure_scope(&error), part.entries.len()) {
            (FailureScope::Documents, 1) => rebuilt.settlements.push(failed(context, &part.entries[0], chain(&error))),
            (FailureScope::Locked, 1) => rebuilt.settlements.push(later(context, &part.entries[0], &error)),
            (FailureScope::Cancelled, 1) => {
                let is_cause = context.cancelled_rebuilds().cancelled(part.entries[0].work.document_id);
                rebuilt.settlements.push(match is_cause {
                    true => failed(context, &part.entries[0], chain(&error)),
                    false => later(context, &part.entries[0], &error),
                });
            }
            (FailureScope::Documents | FailureScope::Locked | FailureScope::Cancelled, _) => {
                parts.extend(part.halves())
            }
            (FailureScope::Database, _) => {
                // The other parts would fail in the same way.
                parts.push(part);
                let not_before_ms = context.now_ms().saturating_add(outage_delay.as_millis() as u64);
                let waiting = parts.drain(..).flat_map(|part| part.entries);
                rebuilt.settlements.extend(waiting.map(|taken| (taken.ticket, Settled::RetryAt { not_before_ms })));
                rebuilt.outage = Some(error);
            }
        }
    }
    rebuilt
}

/// Rebuilds with one snapshot and one upsert. Takes the entries of documents that did not fit out of the part and
/// returns them as further parts. After an error no entry is settled.
async fn rebuild_together(
    context: &Context,
    part: &mut RebuildPart,
) -> Result<(Settlements, Vec<RebuildPart>), ProjectorError> {
    let deps = &context.deps;
    let requests: Vec<RebuildRequest> = part.entries.iter().map(|taken| RebuildRequest::of(&taken.work)).collect();
    let SnapshotRead { decisions, composed, deferred } =
        snapshot::read(&deps.database, &deps.mapping, &deps.caches, &requests, part.bytes_max).await?;
    let mut stored = store(context, &composed).await?;
    drop(composed);

    let sizes: HashMap<i64, usize> = deferred.iter().map(|found| (found.head.document_id, found.bytes)).collect();
    let decided: HashMap<i64, RebuildDecision> =
        requests.iter().map(|request| request.document_id).zip(decisions).collect();
    let parts = part.split_off(&sizes, &deps.memory);
    let batch = &part.entries;
    let decision = |taken: &Taken| decided.get(&taken.work.document_id).copied();
    let decisions: Vec<RebuildDecision> =
        batch.iter().map(|taken| decision(taken).unwrap_or(RebuildDecision::Compose)).collect();

    let retries = VisibilityRetries::record(context, batch, &decisions);
    let mut settlements = Vec::with_capacity(batch.len());
    for (taken, decision) in batch.iter().zip(&decisions) {
        settlements.push(match decision {
            RebuildDecision::NotVisible | RebuildDecision::Contradicted => retries.retry(taken, *decision),
            RebuildDecision::Gone => {
                context.counters.gone.add(1);
                forward_to_lanes(taken, RebuildOutcome::Gone)
            }
            RebuildDecision::AwaitsStamp => {
                context.counters.awaits_stamp.add(1);
                forward_to_lanes(taken, RebuildOutcome::AwaitsStamp)
            }
            RebuildDecision::Compose => match stored.remove(&taken.work.document_id) {
                Some(StoreResult::Stored(version, outcome)) => settle_stored(context, taken, version, outcome),
                Some(StoreResult::NotComposed(reason)) => failed(context, taken, reason),
                None => failed(context, taken, "its body was not composed: the batch lost it".to_owned()),
            },
        });
    }
    announce_cascades(context, batch, &decisions);
    Ok((settlements, parts))
}

/// Stores composed bodies; returns the result by document.
async fn store(context: &Context, composed: &[Composed]) -> Result<HashMap<i64, StoreResult>, ProjectorError> {
    const ACTION: &str = "storing bodies in the cache";
    let mut results = HashMap::with_capacity(composed.len());
    let mut rows = Vec::with_capacity(composed.len());
    for Composed { head, body } in composed {
        match body {
            Ok(body) => rows.push(CacheRow { head, body }),
            Err(error) => drop(results.insert(head.document_id, StoreResult::NotComposed(chain(error)))),
        }
    }
    if rows.is_empty() {
        return Ok(results);
    }
    let client = context.deps.database.get().await.during(ACTION)?;
    // The composed body is authoritative: other bytes in the cache at this version are damage.
    let outcomes = cache::upsert(&client, &rows, SameVersion::Repair).await.during(ACTION)?;
    let stored = |(row, outcome): (&CacheRow<'_>, _)| {
        (row.head.document_id, StoreResult::Stored(row.head.content_version, outcome))
    };
    results.extend(rows.iter().zip(outcomes).map(stored));
    Ok(results)
}

fn settle_stored(context: &Context, taken: &Taken, version: i64, outcome: CacheOutcome) -> (Ticket, Settled) {
    let counters = &context.counters;
    match outcome {
        CacheOutcome::Stored => {
            counters.stored.add(1);
            counters.stored_version.raise(version.max(0) as u64);
            // Touches and resynced documents wait for direct edits by design; their lag would hide that of edits.
            if !taken.work.low_priority {
                let lag_ms = context.now_ms().saturating_sub(taken.work.first_enqueued_at_ms);
                metrics::histogram!(crate::metrics::CACHE_LAG_MS).record(lag_ms as f64);
            }
            forward_to_lanes(taken, RebuildOutcome::Cached { version, repaired: false })
        }
        CacheOutcome::Repaired => {
            counters.repaired.add(1);
            let document = taken.work.document_uuid;
            tracing::warn!(%document, version, "cached body differed from the tables at its version; repaired");
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

/// Settles an entry whose outcome is final.
///
/// An entry whose body is cached, or whose document is gone, moves into the lanes of the sinks in the same durable step
/// that removes it from the cache queue. The other outcomes concern no sink: a body below the effective version belongs
/// in no copy (docs/design/rules.md#rule-5), and a superseded one is followed by its successor.
fn forward_to_lanes(taken: &Taken, outcome: RebuildOutcome) -> (Ticket, Settled) {
    let settled = match outcome {
        RebuildOutcome::Cached { version, repaired } => Settled::Deliver { version, deleted: false, repair: repaired },
        // The delete has a version of its own, which the tombstone carries.
        RebuildOutcome::Gone => Settled::Deliver { version: taken.work.version, deleted: true, repair: false },
        RebuildOutcome::Superseded | RebuildOutcome::AwaitsStamp => Settled::Done,
    };
    (taken.ticket, settled)
}

/// Settles a failure of this document: it is retried later, and quarantined by the queue after its last attempt.
fn failed(context: &Context, taken: &Taken, reason: String) -> (Ticket, Settled) {
    context.counters.failures.add(1);
    let work = &taken.work;
    let attempt = work.attempts.saturating_add(1);
    let delay = context.options().poison_backoff.delay(attempt);
    tracing::warn!(
        document = %work.document_uuid, version = work.version, attempt, reason,
        "failed to rebuild a document; retrying until its last attempt"
    );
    let not_before_ms = context.now_ms().saturating_add(delay.as_millis() as u64);
    (taken.ticket, Settled::Failed { not_before_ms, reason })
}

/// Settles a document that another transaction holds, or whose statement was cancelled: it is read again later, and no
/// attempt counts.
fn later(context: &Context, taken: &Taken, error: &ProjectorError) -> (Ticket, Settled) {
    let work = &taken.work;
    let delay = context.options().poison_backoff.delay(work.attempts.saturating_add(1));
    tracing::warn!(
        document = %work.document_uuid, version = work.version, delay_ms = delay.as_millis() as u64,
        error = context.record(error), "failed to rebuild a document; retrying after the delay"
    );
    let not_before_ms = context.now_ms().saturating_add(delay.as_millis() as u64);
    (taken.ticket, Settled::RetryAt { not_before_ms })
}

/// Notifies the cascade workers: a rename's cascade row became visible with its transaction.
fn announce_cascades(context: &Context, batch: &[Taken], decisions: &[RebuildDecision]) {
    let visible = |decision: &RebuildDecision| *decision != RebuildDecision::NotVisible;
    if batch.iter().zip(decisions).any(|(taken, decision)| taken.work.cascade && visible(decision)) {
        // Wakes all waiting workers; the permit is for one that is about to wait.
        context.cascade_opened.notify_waiters();
        context.cascade_opened.notify_one();
    }
}
