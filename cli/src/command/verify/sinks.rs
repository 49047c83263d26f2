//! The sinks' part of `millstream verify`: what each holds is compared with the cache, by the process that delivers to
//! them, or by this one where none runs.

use super::repair;
use crate::{
    compiled::Compiled,
    config::Config,
    control::{self, ControlError, Request},
    failure::Failure,
    load::grouped,
    sinks::{LaneName, Sinks},
    up::{self, Queue},
};
use millstream_projector::{SystemClock, caught_up, proof, sink_manager::SinkFactory};
use millstream_store::connect::Database;
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

/// Pause between two looks at lanes that are not empty.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long reading all sinks may take.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);
/// Examples shown of each kind.
const EXAMPLES_SHOWN: usize = 3;

/// What was found out about all sinks.
#[derive(Debug, Default)]
pub(super) struct SinkReports(Vec<Value>);

impl SinkReports {
    /// Things that are wrong; a sink that could not be read is one.
    pub(super) fn differences(&self) -> u64 {
        let of = |report: &Value| if report.get("error").is_some() { 1 } else { number(report, "differences") };
        self.0.iter().map(of).sum()
    }

    /// Documents whose copies are only late.
    pub(super) fn behind(&self) -> u64 {
        self.0.iter().map(|report| number(report, "behind")).sum()
    }

    /// Sinks of which nothing is known: whoever wants proof has to ask somebody else.
    pub(super) fn not_compared(&self) -> usize {
        self.0.iter().filter(|report| report.get("not_compared").is_some()).count()
    }

    /// Names the sinks that the configuration wants and that have no lane. Processes that share a queue want only what
    /// their role delivers to.
    fn and_wanted(mut self, config: &Config) -> Self {
        let wanted = config.sinks.wanted.iter().filter(|_| !config.queue.in_kafka);
        for sink in wanted {
            let is_told =
                |report: &Value| LaneName::parse(report["lane"].as_str().unwrap_or_default()).is_meant_by(sink);
            if !self.0.iter().any(is_told) {
                let reason = "nothing is delivered to it from this data folder: see `millstream status`";
                self.0.push(json!({"lane": sink, "not_compared": reason}));
            }
        }
        self
    }

    pub(super) fn as_json(&self) -> Value {
        json!(self.0)
    }

    /// A line for each sink, and what is wrong with it by kind, with examples.
    pub(super) fn described(&self) -> String {
        let mut text = String::new();
        for report in &self.0 {
            describe(&mut text, report);
        }
        text
    }
}

fn number(report: &Value, member: &str) -> u64 {
    report[member].as_u64().unwrap_or_default()
}

// Writing to a string cannot fail.
fn describe(text: &mut String, report: &Value) {
    let lane = report["lane"].as_str().unwrap_or("?");
    if let Some(error) = report["error"].as_str() {
        _ = writeln!(text, "{lane}: could not be compared: {error}");
        return;
    }
    if let Some(reason) = report["not_compared"].as_str() {
        _ = writeln!(text, "{lane}: not compared: {reason}");
        return;
    }
    let (compared, took_s) = (grouped(number(report, "compared")), number(report, "took_ms") as f64 / 1_000.0);
    let differences = grouped(number(report, "differences"));
    _ = writeln!(text, "{lane}: {compared} documents compared, {differences} differences, in {took_s:.1} s");
    for (kind, count) in report["counts"].as_object().into_iter().flatten() {
        _ = writeln!(text, "{lane} {kind}: {}", grouped(count.as_u64().unwrap_or_default()));
        for example in report["examples"][kind].as_array().into_iter().flatten().take(EXAMPLES_SHOWN) {
            let resource = example["resource"].as_str().unwrap_or("unknown type");
            let id = example["id"].as_str().unwrap_or("?");
            _ = writeln!(text, "    {resource} {id}: version {}, found {}", example["expected"], example["found"]);
        }
    }
    if number(report, "differences") > 0 && number(report, "waiting") > 0 {
        let waiting = grouped(number(report, "waiting"));
        _ = writeln!(
            text,
            "{lane}: {waiting} entries wait in its lane; what they will change counts until it is delivered"
        );
    }
    if number(report, "mended") > 0 {
        let how = report["mended_by"].as_str().unwrap_or("see `millstream status`, then verify once more");
        _ = writeln!(text, "{lane}: {} documents are delivered again: {how}", grouped(number(report, "mended")));
    }
    if number(report, "unmended") > 0 {
        let left = grouped(number(report, "unmended"));
        _ = writeln!(
            text,
            "{lane}: {left} documents cannot be mended one by one: they are newer than the source, or too many to name; verify \
             once more, and build an index that is newer anew (`millstream index build`)"
        );
    }
}

/// Compares the sinks that are meant, after their lanes had time until `until` to become empty.
pub(super) async fn compare(
    compiled: &Compiled,
    config: &Config,
    database: &Database,
    sink: Option<&str>,
    repair: bool,
    until: Instant,
) -> Result<SinkReports, Failure> {
    if sink == Some("none") {
        return Ok(SinkReports::default());
    }
    if !wait_until_delivered(config, until).await? {
        return Alone { compiled, config, database, repair }.compare(sink, until).await;
    }
    let request = Request::Prove { sink: sink.map(str::to_owned), repair };
    let answer = control::tell(&config.data_dir, &request, PATIENCE).await?;
    let reports = SinkReports(answer["sinks"].as_array().cloned().unwrap_or_default());
    Ok(if sink.is_none() { reports.and_wanted(config) } else { reports })
}

/// Waits until nothing waits in the lanes of the running process; says whether there is one. Lanes that are not done in
/// time show in the report.
async fn wait_until_delivered(config: &Config, until: Instant) -> Result<bool, Failure> {
    loop {
        match control::ask(&config.data_dir).await {
            Ok(status) if all_delivered(&status) => return Ok(true),
            Ok(_) if Instant::now() < until => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(_) => return Ok(true),
            Err(ControlError::NotRunning(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn all_delivered(status: &Value) -> bool {
    let lanes = status["lanes"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    lanes.iter().all(|lane| lane["paused"] == true || (lane["depth"] == 0 && lane["replay"]["state"] != "running"))
}

/// Without a running process: the lanes that the queue has, read by this process.
struct Alone<'a> {
    compiled: &'a Compiled,
    config: &'a Config,
    database: &'a Database,
    repair: bool,
}

impl Alone<'_> {
    async fn compare(&self, sink: Option<&str>, until: Instant) -> Result<SinkReports, Failure> {
        let reports = match Queue::open_if_there(self.config, self.database).await? {
            None => SinkReports::default(),
            Some(queue) => {
                let reports = self.each(&queue, sink, until).await;
                let closed = queue.close().await;
                let reports = reports?;
                closed.map(|()| reports)?
            }
        };
        match sink {
            None => Ok(reports.and_wanted(self.config)),
            Some(name) if reports.0.is_empty() => Err(Failure::usage(format!(
                "nothing is delivered to a sink `{name}` from {}: name one that `millstream status` shows, or its data folder",
                self.config.data_dir.display()
            ))),
            Some(_) => Ok(reports),
        }
    }

    async fn each(&self, queue: &Queue, sink: Option<&str>, until: Instant) -> Result<SinkReports, Failure> {
        let sinks = Sinks::of(self.database, self.config, self.compiled).await?;
        let mut reports = Vec::new();
        for lane in queue.lanes().lanes().await.map_err(Failure::failed)? {
            if sink.is_none_or(|name| LaneName::parse(&lane.name).is_meant_by(name)) {
                if self.config.queue.in_kafka {
                    wait_for_others(self.config, queue, Some(&lane.name), self.database, until).await?;
                }
                reports.push(self.one(&sinks, queue, &lane.name).await?);
            }
        }
        Ok(SinkReports(reports))
    }

    /// One sink. What is wrong with it is owed to its lane, where it is on disk until somebody delivers it.
    async fn one(&self, sinks: &Sinks, queue: &Queue, lane: &str) -> Result<Value, Failure> {
        let started = Instant::now();
        let told = |error: Failure| Ok(json!({"lane": lane, "error": error.to_string()}));
        let sink = match sinks.open(lane).await {
            Ok(sink) => sink,
            Err(error) => return told(Failure::failed(error)),
        };
        let report = match proof::prove(self.database, &*sink, &SystemClock, &mut |_| {}).await {
            Ok(report) => report,
            Err(error) => return told(Failure::failed(error)),
        };
        let found = queue.lanes().lane(lane).await.map_err(Failure::failed)?;
        let waiting = match &found {
            Some(lane) => lane.stats().await.map_err(Failure::failed)?.depth,
            None => 0,
        };
        let mended = match found {
            Some(lane) if self.repair => Some(up::mend(&*lane, &report).await?),
            _ => None,
        };
        let mut told = up::told(Some(&self.compiled.mapping), lane, &report, mended, started);
        told["waiting"] = json!(waiting);
        if mended.is_some() {
            told["mended_by"] = json!(repair::who_goes_on(self.config));
        }
        Ok(told)
    }
}

/// Gives the processes that share the queue time until `until` to work it off, a lane too if one is named. What they
/// have not done then shows in the report.
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
            let behind = lane.as_ref().unwrap_or(&work);
            let (stats, position) = (behind.stats().await, work.position().await);
            tracing::warn!(
                ?stats,
                ?position,
                "the processes that share the queue have not worked everything off in time"
            );
            Ok(())
        }
    }
}

/// The same for the cache, where the queue is shared.
pub(super) async fn wait_for_cache(config: &Config, database: &Database, until: Instant) -> Result<(), Failure> {
    if !config.queue.in_kafka {
        return Ok(());
    }
    let Some(queue) = Queue::open_if_there(config, database).await? else { return Ok(()) };
    let waited = wait_for_others(config, &queue, None, database, until).await;
    queue.close().await?;
    waited
}
