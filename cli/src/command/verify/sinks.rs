//! The comparison of sinks with the cache by `millstream verify`: done by the process that delivers to them or, where no
//! process runs, by the command itself.

use super::scope::restriction;
use crate::{
    compiled::Compiled,
    config::Config,
    control::{
        self, ControlError, Request,
        protocol::{LaneStatus, ProofReport, ProveOnly, ReplayState, SinkComparison, SinkProof, StatusReport},
    },
    failure::Failure,
    rebuild_entries::next_step,
    sink_kind::SinkKind,
    sink_proof::{compare, comparison, enqueue_repairs},
    sinks::{LaneName, Sinks},
    text::grouped,
    up::{self, Queue},
};
use millstream_pipeline::memory::MemoryBudget;
use millstream_projector::{SystemClock, caught_up, reconcile::is_reconciled, sink_manager::SinkFactory};
use millstream_store::{connect::Database, verify::Scope};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Pause between two checks of lanes that are not empty.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Longest wait for a comparison, which reads all sinks to their end.
const REPLY_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);
/// Examples of each kind for people.
const EXAMPLES_SHOWN: usize = 3;

/// The reports of all sinks.
#[derive(Debug, Default)]
pub(super) struct SinkReports(Vec<SinkProof>);

impl SinkReports {
    fn compared(&self) -> impl Iterator<Item = &SinkComparison> {
        self.0.iter().filter_map(|proof| match proof {
            SinkProof::Compared(comparison) => Some(&**comparison),
            SinkProof::NotCompared { .. } | SinkProof::Failed { .. } => None,
        })
    }

    /// Returns the number of differences. A sink that could not be read counts as one.
    pub(super) fn differences(&self) -> u64 {
        let failed = self.0.iter().filter(|proof| matches!(proof, SinkProof::Failed { .. })).count() as u64;
        failed + self.compared().map(|comparison| comparison.differences).sum::<u64>()
    }

    /// Returns the number of documents that are not current in a sink yet.
    pub(super) fn behind(&self) -> u64 {
        self.compared().map(|comparison| comparison.behind).sum()
    }

    /// Returns the number of sinks that were not compared.
    pub(super) fn not_compared(&self) -> usize {
        self.0.iter().filter(|proof| matches!(proof, SinkProof::NotCompared { .. })).count()
    }

    /// Returns the documents of which a sink holds a version newer than the source's, and a version above all of those:
    /// only a newer one reaches it.
    pub(super) fn newer(&self) -> (Vec<Uuid>, i64) {
        let newer: BTreeSet<Uuid> = self.compared().flat_map(|comparison| comparison.newer.iter().copied()).collect();
        let held_max = self.compared().filter_map(|comparison| comparison.newer_version_max).max();
        (newer.into_iter().collect(), held_max.unwrap_or_default().saturating_add(1))
    }

    /// Adds the configured sinks without a lane as not compared. With a shared queue, a process delivers only to the sinks
    /// of its role, so the configuration does not say which lanes to expect.
    fn with_wanted(mut self, config: &Config) -> Self {
        if config.queue.in_kafka {
            return self;
        }
        for sink in &config.sinks.wanted {
            if !self.0.iter().any(|proof| LaneName::parse(proof.lane()).matches(sink.name())) {
                self.0.push(not_delivered(*sink));
            }
        }
        self
    }

    pub(super) fn into_proofs(self) -> Vec<SinkProof> {
        self.0
    }

    /// Describes each sink on a line, followed by its differences by kind with examples.
    pub(super) fn described(&self) -> String {
        let mut text = String::new();
        for proof in &self.0 {
            describe(&mut text, proof);
        }
        text
    }
}

fn not_delivered(sink: SinkKind) -> SinkProof {
    let not_compared = "nothing is delivered to it from this data folder: see `millstream status`";
    SinkProof::NotCompared { lane: sink.to_string(), not_compared: not_compared.to_owned() }
}

// Writing to a string cannot fail.
fn describe(text: &mut String, proof: &SinkProof) {
    let report = match proof {
        SinkProof::Failed { lane, error } => {
            _ = writeln!(text, "{lane}: could not be compared: {error}");
            return;
        }
        SinkProof::NotCompared { lane, not_compared } => {
            _ = writeln!(text, "{lane}: not compared: {not_compared}");
            return;
        }
        SinkProof::Compared(report) => report,
    };
    let lane = &report.lane;
    let (compared, took_s) = (grouped(report.compared), report.took_ms as f64 / 1_000.0);
    let differences = grouped(report.differences);
    _ = writeln!(text, "{lane}: {compared} documents compared, {differences} differences, in {took_s:.1} s");
    for (kind, count) in &report.counts {
        _ = writeln!(text, "{lane} {kind}: {}", grouped(*count));
        for example in report.examples.get(kind).into_iter().flatten().take(EXAMPLES_SHOWN) {
            let resource = example.resource.as_deref().unwrap_or("unknown type");
            let version =
                |version: Option<i64>| version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            let (expected, found) = (version(example.expected), version(example.found));
            _ = writeln!(text, "    {resource} {}: version {expected}, found {found}", example.id);
        }
    }
    if report.differences > 0 && report.waiting > 0 {
        let waiting = grouped(report.waiting);
        _ = writeln!(text, "{lane}: {waiting} entries wait in its lane; what they change counts until it is delivered");
    }
    if report.mended > 0 {
        let next = report.mended_by.as_deref().unwrap_or("see `millstream status`, then verify once more");
        _ = writeln!(text, "{lane}: {} documents are delivered again: {next}", grouped(report.mended));
    }
    if let Some(left @ 1..) = report.unmended {
        let left = grouped(left);
        _ = writeln!(
            text,
            "{lane}: {left} documents cannot be repaired one by one: they are newer than the source, or too many to list; \
             verify once more, and build a new generation of an index that is newer (`millstream index build`)"
        );
    }
}

/// A comparison of sinks with the cache.
pub(super) struct Comparison<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) config: &'a Config,
    pub(super) database: &'a Database,
    /// Enqueue the differences that delivery can repair.
    pub(super) repair: bool,
}

impl Comparison<'_> {
    /// Compares the sinks that are meant, after their lanes had until `until` to become empty.
    pub(super) async fn compare(
        &self,
        sink: Option<&str>,
        scope: &Scope,
        until: Instant,
    ) -> Result<SinkReports, Failure> {
        if sink == Some("none") {
            return Ok(SinkReports::default());
        }
        let only = restriction(scope);
        if !self.wait_until_delivered(until).await? {
            return self.compare_offline(sink, only.as_ref(), until).await;
        }
        let request = Request::Prove { sink: sink.map(str::to_owned), repair: self.repair, only };
        let ProofReport { sinks } = control::call(&self.config.data_dir, &request, REPLY_TIMEOUT).await?;
        let reports = SinkReports(sinks);
        Ok(if sink.is_none() { reports.with_wanted(self.config) } else { reports })
    }
}

fn all_delivered(status: &StatusReport) -> bool {
    let replays = |lane: &LaneStatus| lane.replay.as_ref().is_some_and(|replay| replay.state == ReplayState::Running);
    status.lanes().iter().all(|lane| lane.paused || (lane.depth == 0 && !replays(lane)))
}

/// The wait for a running process.
impl Comparison<'_> {
    /// Waits until the lanes of the running process are empty and no sink is still to be made equal to the tables after a
    /// new history of the database began; returns whether a process runs. What is not done in time shows in the report.
    async fn wait_until_delivered(&self, until: Instant) -> Result<bool, Failure> {
        loop {
            match control::status(&self.config.data_dir).await {
                Ok(status) => {
                    let done = all_delivered(&status) && self.all_reconciled(&status).await?;
                    if done || Instant::now() >= until {
                        return Ok(true);
                    }
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                Err(ControlError::NotRunning(_)) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn all_reconciled(&self, status: &StatusReport) -> Result<bool, Failure> {
        for lane in status.lanes().iter().filter(|lane| !lane.paused) {
            if !is_reconciled(self.database, &lane.name).await.map_err(Failure::failed)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The comparison without a running process: this process reads the lanes of the queue and the sinks.
impl Comparison<'_> {
    async fn compare_offline(
        &self,
        sink: Option<&str>,
        only: Option<&ProveOnly>,
        until: Instant,
    ) -> Result<SinkReports, Failure> {
        let reports = match Queue::open_existing(self.config, self.database).await? {
            None => SinkReports::default(),
            Some(queue) => {
                let reports = self.compare_lanes(&queue, sink, only, until).await;
                let closed = queue.close().await;
                let reports = reports?;
                closed.map(|()| reports)?
            }
        };
        match sink {
            None => Ok(reports.with_wanted(self.config)),
            Some(name) if reports.0.is_empty() => Err(Failure::usage(format!(
                "nothing is delivered to a sink `{name}` from {}: name one that `millstream status` shows, or its data folder",
                self.config.data_dir.display()
            ))),
            Some(_) => Ok(reports),
        }
    }

    async fn compare_lanes(
        &self,
        queue: &Queue,
        sink: Option<&str>,
        only: Option<&ProveOnly>,
        until: Instant,
    ) -> Result<SinkReports, Failure> {
        let sinks = Sinks::of(self.database, self.config, self.compiled).await?;
        let mut reports = Vec::new();
        for lane in queue.lanes().lanes().await.map_err(Failure::failed)? {
            if sink.is_none_or(|name| LaneName::parse(&lane.name).matches(name)) {
                if self.config.queue.in_kafka {
                    wait_for_others(self.config, queue, Some(&lane.name), self.database, until).await?;
                }
                reports.push(self.compare_lane(&sinks, queue, &lane.name, only).await?);
            }
        }
        Ok(SinkReports(reports))
    }

    /// Compares one sink. Repairs go to its lane, where they are durable until a process delivers them.
    async fn compare_lane(
        &self,
        sinks: &Sinks,
        queue: &Queue,
        lane: &str,
        only: Option<&ProveOnly>,
    ) -> Result<SinkProof, Failure> {
        let started = Instant::now();
        let failed = |error: Failure| Ok(SinkProof::Failed { lane: lane.to_owned(), error: error.to_string() });
        let sink = match sinks.open(lane).await {
            Ok(sink) => sink,
            Err(error) => return failed(Failure::failed(error)),
        };
        let memory = MemoryBudget::new(self.config.memory_bytes);
        let report = match compare(self.database, &memory, &*sink, only, &mut |_| {}).await {
            Ok(report) => report,
            Err(error) => return failed(Failure::failed(error)),
        };
        let lane_queue = queue.lanes().lane(lane).await.map_err(Failure::failed)?;
        let waiting = match &lane_queue {
            Some(lane) => lane.stats().await.map_err(Failure::failed)?.depth,
            None => 0,
        };
        let enqueued = match lane_queue {
            Some(lane) if self.repair => Some(enqueue_repairs(&*lane, &report).await?),
            _ => None,
        };
        let mended_by = enqueued.map(|_| next_step(self.config).to_owned());
        let comparison = comparison(&self.compiled.mapping, lane, &report, enqueued, started.elapsed());
        Ok(SinkProof::Compared(Box::new(SinkComparison { waiting, mended_by, ..comparison })))
    }
}

/// Gives the processes that share the queue until `until` to empty it, and a lane if one is named. Entries that are left
/// then show in the report.
async fn wait_for_others(
    config: &Config,
    queue: &Queue,
    lane: Option<&str>,
    database: &Database,
    until: Instant,
) -> Result<(), Failure> {
    let lane = match lane {
        Some(name) => queue.lanes().lane(name).await.map_err(Failure::failed)?,
        None => None,
    };
    let work = queue.work();
    let source = up::source(config, database)?;
    let waiting = caught_up(database, &*source, &*work, lane.as_deref(), &SystemClock);
    match tokio::time::timeout_at(until.into(), waiting).await {
        Ok(waited) => waited.map_err(Failure::failed),
        Err(_) => {
            let late = lane.as_ref().unwrap_or(&work);
            let (stats, position) = (late.stats().await, work.position().await);
            tracing::warn!(?stats, ?position, "the processes that share the queue did not empty it in time");
            Ok(())
        }
    }
}

/// Gives the processes that share the queue until `until` to rebuild the cache. Does nothing for a local queue.
pub(super) async fn wait_for_cache(config: &Config, database: &Database, until: Instant) -> Result<(), Failure> {
    if !config.queue.in_kafka {
        return Ok(());
    }
    let Some(queue) = Queue::open_existing(config, database).await? else { return Ok(()) };
    let waited = wait_for_others(config, &queue, None, database, until).await;
    queue.close().await?;
    waited
}
