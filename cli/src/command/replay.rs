//! `millstream replay` and `millstream rebuild`: enqueue documents again and show the progress.

use crate::{
    args::{ProgressStyle, ReplayArguments},
    compiled::Compiled,
    config::Config,
    control::{
        self, Request,
        protocol::{ReplayCancelled, ReplayStarted, ReplayState, ReplayStatus, StatusReport, Target},
    },
    database::Server,
    exit::Exit,
    failure::{Failure, Outcome},
    process::state::resource_name,
    text::grouped,
};
use indicatif::{ProgressBar, ProgressStyle as BarStyle};
use jiff::{SpanRelativeTo, Timestamp, Zoned};
use millstream_projector::replay::{Selection, Spec, TypeCount, count};
use std::{
    fmt::Write as _,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// Longest wait for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two reads of the status.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Pause between two progress lines without a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Connections that counting needs.
const CONNECTIONS: usize = 1;

/// Starts, counts or cancels a replay.
pub async fn run(arguments: ReplayArguments, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let target = Target::named(&arguments.to);
    if arguments.cancel {
        let request = Request::ReplayCancel { target };
        let ReplayCancelled { cancelled } = control::call(&config.data_dir, &request, REPLY_TIMEOUT).await?;
        let outcome = if cancelled.is_empty() { "was not running" } else { "is cancelled" };
        writeln!(out, "the replay into {} {outcome}", arguments.to).map_err(Failure::failed)?;
        return Ok(Exit::Done);
    }
    let selection = selection(&arguments, config)?;
    if arguments.dry_run {
        return dry_run(&selection, config, out).await;
    }
    let spec = Spec { selection, per_s_max: arguments.per_s, repair: true, empty: false };
    start(target, spec, arguments.detach, arguments.progress, config, out).await
}

/// Empties the cache and rebuilds every body.
pub async fn rebuild_cache(
    per_s: Option<u32>,
    detach: bool,
    progress: ProgressStyle,
    config: &Config,
    out: &mut (dyn Write + Send),
) -> Outcome {
    let spec = Spec { selection: Selection::All, per_s_max: per_s, repair: false, empty: true };
    start(Target::Cache, spec, detach, progress, config, out).await
}

/// Parses the selection of documents.
fn selection(arguments: &ReplayArguments, config: &Config) -> Result<Selection, Failure> {
    if let Some(range) = &arguments.outbox {
        let parts = range.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        let (from, to) = parts.filter(|(from, to)| from <= to).ok_or_else(|| {
            Failure::usage(format!("--outbox {range}: expected two ids of the outbox, like 1000..2000"))
        })?;
        return Ok(Selection::Outbox { from, to });
    }
    if let Some(since) = &arguments.since {
        let now = Zoned::now();
        let from_ms = moment("since", since, &now)?;
        let to_ms = arguments.until.as_ref().map_or(Ok(u64::MAX >> 12), |until| moment("until", until, &now))?;
        return Ok(Selection::Time { from_ms, to_ms });
    }
    if let Some(name) = &arguments.resource {
        let compiled = Compiled::from_files(config.schema_files().map_err(Failure::usage)?)?;
        let route = name.split_once('/').and_then(|(project, endpoint)| compiled.mapping.route(project, endpoint));
        let resource = route.ok_or_else(|| {
            Failure::usage(format!("--resource {name}: unknown type; name it as in the URL, like ed-fi/students"))
        })?;
        return Ok(Selection::Resource { resource_key: compiled.mapping.resource(resource).key });
    }
    Ok(arguments.document.map_or(Selection::All, |uuid| Selection::Document { uuid }))
}

/// Parses a time in RFC 3339, or a span before now; returns milliseconds since 1970 UTC.
fn moment(flag: &str, text: &str, now: &Zoned) -> Result<u64, Failure> {
    let invalid = || {
        Failure::usage(format!(
            "--{flag} {text}: expected a time like 2030-08-19T06:00:00Z, or a span like 2h for two hours ago"
        ))
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return u64::try_from(at.as_millisecond()).map_err(|_| invalid());
    }
    let span = text.parse::<jiff::Span>().map_err(|_| invalid())?;
    // A day is 24 hours, without regard to daylight saving.
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| invalid())?;
    let at = now.timestamp().checked_sub(span.abs()).map_err(|_| invalid())?;
    u64::try_from(at.as_millisecond()).map_err(|_| invalid())
}

async fn dry_run(selection: &Selection, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let compiled = Compiled::from_files(config.schema_files().map_err(Failure::usage)?)?;
    let server = Server::attach(config).await?;
    let database = server.connect(CONNECTIONS).await?;
    let counted = count(&database, selection).await.map_err(Failure::failed);
    database.close();
    server.close(config.shutdown_deadline).await?;
    out.write_all(by_type(&counted?, &compiled).as_bytes()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

fn by_type(counted: &[TypeCount], compiled: &Compiled) -> String {
    let mut text = String::new();
    for one in counted {
        let name = resource_name(&compiled.mapping, one.resource_key);
        let name = name.unwrap_or_else(|| format!("type {}", one.resource_key));
        // Writing to a string cannot fail.
        _ = writeln!(text, "{name:<60} {:>12} written {:>10} deleted", grouped(one.written), grouped(one.deleted));
    }
    let total: u64 = counted.iter().map(TypeCount::total).sum();
    _ = writeln!(text, "would be replayed: {}", grouped(total));
    text
}

async fn start(
    target: Target,
    spec: Spec,
    detach: bool,
    style: ProgressStyle,
    config: &Config,
    out: &mut (dyn Write + Send),
) -> Outcome {
    let request = Request::Replay { target, spec };
    let ReplayStarted { total, targets } = control::call(&config.data_dir, &request, REPLY_TIMEOUT).await?;
    if detach {
        writeln!(out, "{} entries are being enqueued: see `millstream status`", grouped(total))
            .map_err(Failure::failed)?;
        return Ok(Exit::Done);
    }
    let mut progress = Progress::new(total, style);
    loop {
        let status = control::status(&config.data_dir).await?;
        let replays: Vec<Option<&ReplayStatus>> = targets.iter().map(|target| replay_of(&status, target)).collect();
        progress.report(&replays);
        let is_running = |replay: &ReplayStatus| replay.state == ReplayState::Running;
        if !replays.iter().flatten().any(|replay| is_running(replay)) {
            return finish(&replays, &progress, out);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Returns the replay into a target, if the status has one.
fn replay_of<'s>(status: &'s StatusReport, target: &str) -> Option<&'s ReplayStatus> {
    if target == "cache" {
        return status.running.as_ref()?.replay.as_ref();
    }
    status.lanes().iter().find(|lane| lane.name == target)?.replay.as_ref()
}

fn finish(replays: &[Option<&ReplayStatus>], progress: &Progress, out: &mut (dyn Write + Send)) -> Outcome {
    let done: u64 = replays.iter().flatten().map(|replay| replay.done).sum();
    let unfinished = replays.iter().find(|replay| replay.is_none_or(|replay| replay.state != ReplayState::Done));
    if let Some(replay) = unfinished {
        let state = replay.map_or("not known", |replay| replay.state.name());
        let error = replay.and_then(|replay| replay.last_error.as_deref());
        let error = error.map(|error| format!(": {error}")).unwrap_or_default();
        return Err(Failure::failed(format!("the replay is {state} after {} entries{error}", grouped(done))));
    }
    let took_s = progress.started.elapsed().as_secs_f64();
    writeln!(out, "{} entries enqueued in {took_s:.1} s", grouped(done)).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

/// A bar on a terminal, lines elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    fn new(total: u64, style: ProgressStyle) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (style == ProgressStyle::Auto && terminal).then(|| {
            let template = "{bar:40} {human_pos} of {human_len}, {per_sec}, {eta} left";
            ProgressBar::new(total)
                .with_style(BarStyle::with_template(template).unwrap_or_else(|_| BarStyle::default_bar()))
        });
        let lines = style == ProgressStyle::Lines || (style == ProgressStyle::Auto && !terminal);
        Self { bar, lines, started: Instant::now(), last_line: Instant::now() }
    }

    fn report(&mut self, replays: &[Option<&ReplayStatus>]) {
        // All targets read the same documents: the slowest determines the progress.
        let done = replays.iter().flatten().map(|replay| replay.done).min().unwrap_or_default();
        let total = replays.iter().flatten().map(|replay| replay.total).max().unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_length(total.max(done));
            bar.set_position(done);
        } else if self.lines && self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            let per_s = done as f64 / self.started.elapsed().as_secs_f64().max(0.001);
            let left_s = total.saturating_sub(done) as f64 / per_s.max(0.001);
            tracing::info!(done, total, per_s = per_s as u64, left_s = left_s as u64, "replaying");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now: Zoned = "2030-08-19T06:00:00[UTC]".parse().expect("a time");
        let now_ms = u64::try_from(now.timestamp().as_millisecond()).expect("after 1970");
        assert_eq!(moment("since", "2030-08-19T06:00:00Z", &now).expect("a time"), now_ms);
        assert_eq!(moment("since", "2h", &now).expect("a span"), now_ms - 7_200_000);
        assert_eq!(moment("since", "1d", &now).expect("a span"), now_ms - 86_400_000);
        for text in ["", "yesterday", "1900-01-01T00:00:00Z", "99999999999h"] {
            assert!(moment("since", text, &now).is_err(), "{text:?}");
        }
    }
}
