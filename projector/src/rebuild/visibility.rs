//! The next read of entries whose change one batch could not see.

use super::decision::RebuildDecision;
use crate::context::{Awaited, Context};
use millstream_pipeline::queue::{Settled, Taken, Ticket};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// The times at which the changes that one batch waits for are read again.
pub(super) struct VisibilityRetries {
    retry_at_ms: HashMap<Awaited, u64>,
}

impl VisibilityRetries {
    /// Records one read per awaited change, however many documents of the batch need it, and removes the waits for
    /// changes that have become visible.
    pub(super) fn record(context: &Context, batch: &[Taken], decisions: &[RebuildDecision]) -> Self {
        let now_ms = context.now_ms();
        let mut missing = HashSet::new();
        let mut retry_at_ms = HashMap::new();
        let mut waits = context.visibility_waits();
        for (taken, decision) in batch.iter().zip(decisions) {
            let Some(awaited) = awaited(taken, *decision) else {
                if !waits.is_empty() {
                    waits.arrived(&Awaited::Transaction(taken.work.xid));
                    waits.arrived(&Awaited::Document(taken.work.document_id));
                }
                continue;
            };
            match awaited {
                Awaited::Transaction(_) => context.counters.not_visible.add(1),
                Awaited::Document(_) => context.counters.contradicted.add(1),
            }
            if !missing.insert(awaited) {
                continue;
            }
            let wait = waits.still_missing(awaited, now_ms);
            if wait.alarm {
                alarm(context, taken, awaited, wait.waited);
            }
            retry_at_ms.insert(awaited, now_ms.saturating_add(wait.delay.as_millis() as u64));
        }
        context.counters.waits.set(waits.len() as u64);
        Self { retry_at_ms }
    }

    /// Settles an entry whose change is not visible.
    pub(super) fn retry(&self, taken: &Taken, decision: RebuildDecision) -> (Ticket, Settled) {
        let at = awaited(taken, decision).and_then(|awaited| self.retry_at_ms.get(&awaited)).copied();
        (taken.ticket, Settled::RetryAt { not_before_ms: at.unwrap_or(0) })
    }
}

fn awaited(taken: &Taken, decision: RebuildDecision) -> Option<Awaited> {
    match decision {
        RebuildDecision::NotVisible => Some(Awaited::Transaction(taken.work.xid)),
        RebuildDecision::Contradicted => Some(Awaited::Document(taken.work.document_id)),
        _ => None,
    }
}

fn alarm(context: &Context, taken: &Taken, awaited: Awaited, waited: Duration) {
    context.counters.alarms.add(1);
    let (document, version) = (taken.work.document_uuid, taken.work.version);
    let waited_s = waited.as_secs();
    match awaited {
        Awaited::Transaction(xid) => tracing::error!(
            %document, version, xid, waited_s,
            "received commit is still not visible: check whether synchronous replication waits for a standby; resync if \
             the database was restored from a backup"
        ),
        Awaited::Document(_) => tracing::error!(
            %document, version, waited_s,
            "rows of a document are older than its visible change record: run verify; resync after a restore"
        ),
    }
}
