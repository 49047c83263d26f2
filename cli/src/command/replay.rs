//! `millstream replay` and `millstream rebuild`: documents are owed again, with a bar that says how far it is.

use super::Outcome;
use crate::{
    args::{ProgressStyle, ReplayArguments},
    compiled::Compiled,
    config::Config,
    control::{self, Request, Target},
    database::Server,
    exit::Exit,
    failure::Failure,
    load::grouped,
};
use indicatif::{ProgressBar, ProgressStyle as BarStyle};
use jiff::{SpanRelativeTo, Timestamp, Zoned};
use millstream_projector::replay::{Selection, Spec, TypeCount, count};
use serde_json::Value;
use std::{
    fmt::Write as _,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

/// For one answer of the process.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at how far it is.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Pause between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Connections that counting needs.
const CONNECTIONS: usize = 1;

/// Replays, counts or cancels.
pub async fn run(arguments: ReplayArguments, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let target = Target::named(&arguments.to);
    if arguments.cancel {
        let answer = control::tell(&config.data_dir, &Request::ReplayCancel { target }, PATIENCE).await?;
        let ended = answer["cancelled"].as_array().is_some_and(|ended| !ended.is_empty());
        let told = if ended { "is ended" } else { "was not under way" };
        writeln!(out, "the replay into {} {told}", arguments.to).map_err(Failure::failed)?;
        return Ok(Exit::Done);
    }
    let selection = selection(&arguments, config)?;
    if arguments.dry_run {
        return dry_run(&selection, config, out).await;
    }
    let spec = Spec { selection, per_s_max: arguments.per_s, repair: true, empty: false };
    start(target, spec, arguments.detach, arguments.progress, config, out).await
}

/// Empties the cache and makes every body again.
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

/// What the arguments name.
fn selection(arguments: &ReplayArguments, config: &Config) -> Result<Selection, Failure> {
    if let Some(range) = &arguments.outbox {
        let parts = range.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        let (from, to) = parts.filter(|(from, to)| from <= to).ok_or_else(|| {
            Failure::usage(format!("--outbox {range}: a range is two ids of the outbox, like 1000..2000"))
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
            Failure::usage(format!(
                "--resource {name}: there is no such type; name it as in the URL, like ed-fi/students"
            ))
        })?;
        return Ok(Selection::Resource { resource_key: compiled.mapping.resource(resource).key });
    }
    Ok(arguments.document.map_or(Selection::All, |uuid| Selection::Document { uuid }))
}

/// A time as RFC 3339, or how long ago.
fn moment(flag: &str, text: &str, now: &Zoned) -> Result<u64, Failure> {
    let refused = || {
        Failure::usage(format!("--{flag} {text}: a time is like 2030-08-19T06:00:00Z, or like 2h for two hours ago"))
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return u64::try_from(at.as_millisecond()).map_err(|_| refused());
    }
    let span = text.parse::<jiff::Span>().map_err(|_| refused())?;
    // A day is 24 hours here, whatever the clocks did.
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| refused())?;
    let at = now.timestamp().checked_sub(span.abs()).map_err(|_| refused())?;
    u64::try_from(at.as_millisecond()).map_err(|_| refused())
}

async fn dry_run(selection: &Selection, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let compiled = Compiled::from_files(config.schema_files().map_err(Failure::usage)?)?;
    let server = Server::shared(config).await?;
    let database = server.connect(CONNECTIONS).await?;
    let counted = count(&database, selection).await.map_err(Failure::failed);
    database.close();
    server.close(config.shutdown_deadline).await?;
    out.write_all(by_type(&counted?, &compiled).as_bytes()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

fn by_type(counted: &[TypeCount], compiled: &Compiled) -> String {
    let mut told = String::new();
    for one in counted {
        let resource = compiled.mapping.resources.iter().find(|resource| resource.key == one.resource_key);
        let name = resource.map_or_else(
            || format!("type {}", one.resource_key),
            |resource| format!("{}/{}", resource.project_endpoint, resource.endpoint),
        );
        // Writing to a string cannot fail.
        _ = writeln!(told, "{name:<60} {:>12} written {:>10} deleted", grouped(one.written), grouped(one.deleted));
    }
    let total: u64 = counted.iter().map(TypeCount::total).sum();
    _ = writeln!(told, "would be replayed: {}", grouped(total));
    told
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
    let answer = control::tell(&config.data_dir, &request, PATIENCE).await?;
    let total = answer["total"].as_u64().unwrap_or_default();
    let targets: Vec<String> = serde_json::from_value(answer["targets"].clone()).unwrap_or_default();
    if detach {
        writeln!(out, "{} entries are owed again: see `millstream status`", grouped(total)).map_err(Failure::failed)?;
        return Ok(Exit::Done);
    }
    let mut progress = Progress::new(total, style);
    loop {
        let status = control::ask(&config.data_dir).await?;
        let replays: Vec<&Value> = targets.iter().map(|target| replay_of(&status, target)).collect();
        progress.tell(&replays);
        if replays.iter().all(|replay| replay["state"] != "running") {
            return ended(&replays, &progress, out);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// What the status says of the replay into a target.
fn replay_of<'v>(status: &'v Value, target: &str) -> &'v Value {
    if target == "cache" {
        return &status["replay"];
    }
    let lanes = status["lanes"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    lanes.iter().find(|lane| lane["name"] == target).map_or(&Value::Null, |lane| &lane["replay"])
}

fn ended(replays: &[&Value], progress: &Progress, out: &mut (dyn Write + Send)) -> Outcome {
    let done: u64 = replays.iter().filter_map(|replay| replay["done"].as_u64()).sum();
    let bad = replays.iter().find(|replay| replay["state"] != "done");
    if let Some(bad) = bad {
        let why = bad["last_error"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        let state = bad["state"].as_str().unwrap_or("not known");
        return Err(Failure::failed(format!("the replay is {state} after {} entries{why}", grouped(done))));
    }
    let took_s = progress.started.elapsed().as_secs_f64();
    writeln!(out, "{} entries are owed again, in {took_s:.1} s", grouped(done)).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

/// A bar on a terminal, lines elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    started: Instant,
    told: Instant,
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
        Self { bar, lines, started: Instant::now(), told: Instant::now() }
    }

    fn tell(&mut self, replays: &[&Value]) {
        // All targets walk the same documents: the slowest says how far it is.
        let done = replays.iter().filter_map(|replay| replay["done"].as_u64()).min().unwrap_or_default();
        let total = replays.iter().filter_map(|replay| replay["total"].as_u64()).max().unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_length(total.max(done));
            bar.set_position(done);
        } else if self.lines && self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
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
