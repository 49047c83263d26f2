//! The rounds of the watchdog.

use super::check::{Batch, Seen, look_at_sink, look_at_tables};
use super::deps::{WatchdogDeps, WatchedSink};
use super::incident::{Incident, MismatchKind};
use super::options::OnMismatch;
use crate::caught_up;
use crate::error::{During, ProjectorError};
use crate::metrics as names;
use crate::proof::{Finding, ProofError};
use millstream_pipeline::error::chain;
use millstream_store::table::{document, replay};
use millstream_store::verify::VerifyOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// A mismatch that is not mended.
#[derive(Debug, Clone)]
struct OpenMismatch {
    number: u64,
    since_ms: u64,
}

/// The place and kind of a mismatch of one document.
type Key = (Uuid, String, MismatchKind);

/// A confirmed mismatch.
#[derive(Debug)]
struct Mismatch {
    key: Key,
    version: i64,
    resource_key: i16,
    /// The finding in the sink, if it is about one.
    finding: Option<Finding>,
}

/// The state of one watchdog.
pub struct Watchdog {
    deps: WatchdogDeps,
    /// Documents up to this DocumentId were looked at in this pass.
    after: i64,
    /// Tombstones up to this id were looked at: a sink must not hold their documents.
    tombstones_after: Uuid,
    rounds: usize,
    passes: usize,
    open: BTreeMap<Key, OpenMismatch>,
    rechecked_at_ms: u64,
    open_count: Arc<AtomicU64>,
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog").field("after", &self.after).field("open", &self.open.len()).finish_non_exhaustive()
    }
}

/// The result of one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoundReport {
    /// Documents looked at.
    pub checked: usize,
    /// Mismatches confirmed.
    pub confirmed: usize,
    /// The pause before the next round.
    pub pause: Duration,
}

/// A failure of a round, which is repeated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoundError {
    #[error(transparent)]
    Projector(#[from] ProjectorError),
    #[error(transparent)]
    Sink(#[from] ProofError),
}

impl Watchdog {
    /// A watchdog that begins after a random document: passes of a process that restarts often still reach all of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn new(deps: WatchdogDeps, open_count: Arc<AtomicU64>) -> Result<Self, ProjectorError> {
        const ACTION: &str = "drawing the first document to check";
        let client = deps.database.get().await.during(ACTION)?;
        let drawn = document::sample(&client, 1).await.during(ACTION)?;
        let heads = document::heads_by_uuid(&client, &drawn).await.during(ACTION)?;
        drop(client);
        let after = heads.first().map_or(i64::MIN, |head| head.document_id.saturating_sub(1));
        Ok(Self {
            deps,
            after,
            tombstones_after: Uuid::nil(),
            rounds: 0,
            passes: 0,
            open: BTreeMap::new(),
            rechecked_at_ms: 0,
            open_count,
        })
    }

    /// One round over the next documents and one of the sinks. A failure is logged and counted; the same documents come
    /// again in the next round.
    pub async fn round(&mut self, sinks: &[WatchedSink]) -> RoundReport {
        match self.try_round(sinks).await {
            Ok(report) => report,
            Err(error) => {
                metrics::counter!(names::WATCHDOG_FAILURES).increment(1);
                tracing::warn!(error = chain(&error), "failed to check documents; retrying");
                RoundReport { pause: self.deps.options.recheck, ..RoundReport::default() }
            }
        }
    }

    async fn try_round(&mut self, sinks: &[WatchedSink]) -> Result<RoundReport, RoundError> {
        let options = self.deps.options;
        self.recheck(sinks).await?;
        // Only sinks that are read by id cheaply: a log would be read to its end.
        let readable: Vec<&WatchedSink> = sinks.iter().filter(|of| of.sink.limits().guards_versions).collect();
        let sink = readable.get(self.rounds % readable.len().max(1)).copied();
        self.rounds = self.rounds.wrapping_add(1);
        let batch = Batch::After(self.after, options.batch);
        let deleted = match sink {
            Some(_) => self.next_tombstones().await?,
            None => Vec::new(),
        };
        let (seen, found) = self.look(&batch, &deleted, sink).await?;
        let checked = seen.len();
        metrics::counter!(names::WATCHDOG_CHECKED, "kind" => "tables").increment(checked as u64);
        if sink.is_some() {
            metrics::counter!(names::WATCHDOG_CHECKED, "kind" => "sink").increment((checked + deleted.len()) as u64);
        }
        let confirmed = self.confirm(&seen, &found, sink).await?;
        let confirmed_count = confirmed.len();
        for mismatch in confirmed {
            self.report(mismatch, sink).await;
        }
        let last = seen.values().map(|seen| seen.head.document_id).max();
        self.after = last.unwrap_or_else(|| {
            // The next pass begins, with another sink for each document: the sinks take turns by round.
            self.passes = self.passes.wrapping_add(1);
            self.rounds = self.passes;
            i64::MIN
        });
        let total = self.total().await?;
        Ok(RoundReport { checked, confirmed: confirmed_count, pause: options.pause(checked, total) })
    }

    async fn total(&self) -> Result<i64, ProjectorError> {
        const ACTION: &str = "estimating the number of documents";
        let client = self.deps.database.get().await.during(ACTION)?;
        document::estimated_count(&client).await.during(ACTION)
    }

    /// The next few deleted documents, beginning again after the last.
    async fn next_tombstones(&mut self) -> Result<Vec<Uuid>, ProjectorError> {
        const ACTION: &str = "reading tombstones to check";
        let client = self.deps.database.get().await.during(ACTION)?;
        let limit = i64::from(self.deps.options.batch);
        let page = replay::tombstones(&client, None, self.tombstones_after, limit).await.during(ACTION)?;
        self.tombstones_after = page.last().map_or(Uuid::nil(), |last| last.uuid);
        Ok(page.into_iter().map(|row| row.uuid).collect())
    }

    async fn look(
        &self,
        batch: &Batch,
        deleted: &[Uuid],
        sink: Option<&WatchedSink>,
    ) -> Result<(BTreeMap<Uuid, Seen>, BTreeMap<Uuid, Finding>), RoundError> {
        let WatchdogDeps { database, memory, mapping, options, .. } = &self.deps;
        let verify = VerifyOptions {
            memory: memory.clone(),
            statement_timeout: Some(options.statement_timeout),
            ..VerifyOptions::default()
        };
        let seen = look_at_tables(database, mapping, batch, &verify).await?;
        let mut documents: Vec<Uuid> = match batch {
            Batch::After(..) => seen.keys().copied().collect(),
            // A document that was deleted meanwhile may be in the sink still.
            Batch::Documents(documents) => documents.clone(),
        };
        documents.extend(deleted.iter().filter(|uuid| !seen.contains_key(uuid)));
        let found = match sink {
            Some(of) => look_at_sink(database, memory, &*of.sink, &documents).await?,
            None => BTreeMap::new(),
        };
        Ok((seen, found))
    }

    /// Looks again at what differs, once everything that was pending has passed: what is wrong at the same version is a
    /// mismatch. Nothing is confirmed while the pipeline is behind.
    async fn confirm(
        &self,
        seen: &BTreeMap<Uuid, Seen>,
        found: &BTreeMap<Uuid, Finding>,
        sink: Option<&WatchedSink>,
    ) -> Result<Vec<Mismatch>, RoundError> {
        let wrong = seen.iter().filter(|(_, of)| !of.kinds.is_empty()).map(|(uuid, _)| *uuid);
        let suspects: BTreeSet<Uuid> = wrong.chain(found.keys().copied()).collect();
        if suspects.is_empty() || !self.caught_up(sink).await {
            return Ok(Vec::new());
        }
        let suspects = Batch::Documents(suspects.into_iter().collect());
        let (seen_again, found_again) = self.look(&suspects, &[], sink).await?;
        let mut confirmed = Vec::new();
        for (uuid, again) in &seen_again {
            let Some(first) = seen.get(uuid) else { continue };
            let version = again.head.effective_version;
            if first.head.effective_version == version {
                let kinds = first.kinds.intersection(&again.kinds);
                confirmed.extend(kinds.map(|kind| Mismatch {
                    key: (*uuid, "tables".to_owned(), *kind),
                    version,
                    resource_key: again.head.key,
                    finding: None,
                }));
            }
        }
        for (uuid, now) in found_again {
            if let (Some(sink), Some(before)) = (sink, found.get(&uuid))
                && (before.kind, before.version) == (now.kind, now.version)
            {
                confirmed.push(Mismatch {
                    key: (uuid, sink.lane.clone(), MismatchKind::Sink(now.kind)),
                    version: now.version.unwrap_or_default(),
                    resource_key: now.resource_key.unwrap_or_default(),
                    finding: Some(now),
                });
            }
        }
        Ok(confirmed)
    }

    /// Waits until everything that is committed now has reached the cache and the sink; `false` if that takes too long.
    async fn caught_up(&self, sink: Option<&WatchedSink>) -> bool {
        let WatchdogDeps { database, source, queue, clock, options, .. } = &self.deps;
        let lane = sink.map(|of| &*of.queue);
        let waiting = caught_up(database, &**source, &**queue, lane, &**clock);
        match tokio::time::timeout(options.catch_up, waiting).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(error = chain(&error), "cannot tell whether the copies are current");
                false
            }
            Err(_) => false,
        }
    }

    /// Records a confirmed mismatch and reacts to it. One that is known is not recorded again.
    async fn report(&mut self, mismatch: Mismatch, sink: Option<&WatchedSink>) {
        let Mismatch { key, version, resource_key, finding } = mismatch;
        if self.open.contains_key(&key) {
            return;
        }
        let now_ms = self.deps.clock.now_ms();
        let (document, place, kind) = (key.0, key.1.clone(), key.2);
        metrics::counter!(names::WATCHDOG_MISMATCHES, "kind" => kind.name()).increment(1);
        tracing::error!(%document, place, kind = kind.name(), version, "stored data does not agree with the document's rows");
        let action = match self.deps.options.on_mismatch {
            OnMismatch::Alert => "alert".to_owned(),
            OnMismatch::Unhealthy => "unhealthy".to_owned(),
            OnMismatch::Repair => self.repair(document, finding.as_ref(), sink).await,
        };
        let incident = Incident {
            number: 0,
            at_ms: now_ms,
            document,
            resource: self.resource_name(resource_key),
            version,
            place,
            kind: kind.name(),
            causes: kind.causes().iter().map(|&cause| cause.to_owned()).collect(),
            action,
            mended_at_ms: None,
        };
        match self.deps.log.add(incident) {
            Ok(number) => drop(self.open.insert(key, OpenMismatch { number, since_ms: now_ms })),
            Err(error) => tracing::error!(error = chain(&error), "failed to record an incident"),
        }
        self.export();
    }

    fn resource_name(&self, key: i16) -> String {
        self.deps.mapping.by_key(key).map_or_else(String::new, |ix| {
            let plan = self.deps.mapping.resource(ix);
            format!("{}/{}", plan.project_endpoint, plan.endpoint)
        })
    }

    /// Repairs a mismatch; returns what the record says about it.
    async fn repair(&self, document: Uuid, finding: Option<&Finding>, sink: Option<&WatchedSink>) -> String {
        let mended = match (finding, sink) {
            (Some(finding), Some(sink)) => match finding.mending(self.deps.clock.now_ms()) {
                Some(work) => sink.queue.put(vec![work], None).await.map(drop).map_err(|error| chain(&error)),
                None => Err("a newer version in a sink needs `millstream verify --repair`".to_owned()),
            },
            _ => self.deps.repairer.repair(&[document]).await.map_err(|error| chain(&*error)),
        };
        match mended {
            Ok(()) => "repair".to_owned(),
            Err(reason) => {
                tracing::error!(%document, reason, "failed to repair a mismatch");
                format!("repair failed: {reason}")
            }
        }
    }

    /// Looks again at the mismatches that are not mended, and closes those that are.
    async fn recheck(&mut self, sinks: &[WatchedSink]) -> Result<(), RoundError> {
        let now_ms = self.deps.clock.now_ms();
        let due = self.rechecked_at_ms.saturating_add(self.deps.options.recheck.as_millis() as u64);
        if self.open.is_empty() || now_ms < due {
            return Ok(());
        }
        self.rechecked_at_ms = now_ms;
        let documents: BTreeSet<Uuid> = self.open.keys().map(|(document, ..)| *document).collect();
        let (seen, _) = self.look(&Batch::Documents(documents.into_iter().collect()), &[], None).await?;
        let found = self.recheck_sinks(sinks).await;
        let is_mended = |(document, place, kind): &Key| match kind {
            // A sink that was not looked at mends nothing.
            MismatchKind::Sink(_) => found.get(place).is_some_and(|of_sink| !of_sink.contains_key(document)),
            kind => seen.get(document).is_none_or(|seen| !seen.kinds.contains(kind)),
        };
        let mended: Vec<Key> = self.open.keys().filter(|key| is_mended(key)).cloned().collect();
        for key in mended {
            let Some(open) = self.open.remove(&key) else { continue };
            metrics::counter!(names::WATCHDOG_REPAIRS, "kind" => key.2.name()).increment(1);
            metrics::histogram!(names::WATCHDOG_REPAIR_MS).record(now_ms.saturating_sub(open.since_ms) as f64);
            tracing::info!(document = %key.0, place = key.1, kind = key.2.name(), "a mismatch is mended");
            if let Err(error) = self.deps.log.update(open.number, |incident| incident.mended_at_ms = Some(now_ms)) {
                tracing::error!(error = chain(&error), "failed to record that a mismatch is mended");
            }
        }
        self.export();
        Ok(())
    }

    /// Looks at the documents of the open mismatches of each sink; returns the findings of each that could be read. One
    /// that cannot be read must not keep the rest from being checked.
    async fn recheck_sinks(&self, sinks: &[WatchedSink]) -> BTreeMap<String, BTreeMap<Uuid, Finding>> {
        let mut found = BTreeMap::new();
        for sink in sinks {
            let own = self.open.keys().filter(|(_, place, _)| *place == sink.lane).map(|(document, ..)| *document);
            let own: BTreeSet<Uuid> = own.collect();
            if own.is_empty() {
                continue;
            }
            let own: Vec<Uuid> = own.into_iter().collect();
            match look_at_sink(&self.deps.database, &self.deps.memory, &*sink.sink, &own).await {
                Ok(of_sink) => drop(found.insert(sink.lane.clone(), of_sink)),
                Err(error) => {
                    tracing::warn!(
                        lane = sink.lane,
                        error = chain(&error),
                        "cannot look at the mismatches of a sink again"
                    );
                }
            }
        }
        found
    }

    fn export(&self) {
        self.open_count.store(self.open.len() as u64, Ordering::Relaxed);
        metrics::gauge!(names::WATCHDOG_OPEN).set(self.open.len() as f64);
    }
}
