//! `millstream verify`: recompute from rows, compare with what is stored, and say how many differences there are.
//!
//! With a process running on the data folder, its queue and cascades are given time to be worked off first; what is
//! found behind while there is time left is looked at again, so that live writes do not count as lag. The sinks come
//! after the tables: they are compared with the cache.

mod repair;
mod sinks;

use super::Outcome;
use crate::{
    compiled::Compiled,
    config::Config,
    control::{self, ControlError, Request},
    database::Server,
    exit::Exit,
    failure::Failure,
    load::grouped,
};
use millstream_store::{
    connect::Database,
    provision::{self, SchemaState},
    verify::{Difference, Report, VerifyOptions, verify},
};
use serde_json::{Value, json};
use sinks::SinkReports;
use std::{
    fmt::Write as _,
    io::Write,
    time::{Duration, Instant},
};

/// Connections that an audit needs.
const CONNECTIONS: usize = 2;
/// Pause between two looks at a process that is still working.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Examples shown of each kind.
const EXAMPLES_SHOWN: usize = 3;

/// For an answer of the running process.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked of an audit.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// How long a running Millstream is given to work everything off.
    pub wait: Duration,
    /// Print JSON.
    pub json: bool,
    /// Compare only this sink; `none` for no sink.
    pub sink: Option<String>,
    /// Have what is wrong made and delivered again.
    pub repair: bool,
}

/// Audits; 0 only if everything was compared and nothing is wrong or behind, 3 if it is only that.
pub async fn run(compiled: Compiled, config: &Config, ask: &Ask, out: &mut (dyn Write + Send)) -> Outcome {
    let server = Server::shared(config).await?;
    let outcome = everything(&server, &compiled, config, ask).await;
    let repaired = match &outcome {
        Ok(audited) if ask.repair && exit(&audited.report) != Exit::Done => {
            repair::rebuild_all(&server, config).await.map(Some)
        }
        _ => Ok(None),
    };
    let closed = server.close(config.shutdown_deadline).await;
    let audited = outcome?;
    closed?;
    // What was found is told also when it could not be repaired.
    let (done, failed) = match repaired {
        Ok(done) => (done, None),
        Err(failure) => (None, Some(failure)),
    };
    if ask.json {
        let mut told = audited.as_json();
        told["repair"] = json!(done);
        writeln!(out, "{told:#}").map_err(Failure::failed)?;
    } else {
        audited.tell(out)?;
        if let Some(done) = done {
            writeln!(out, "{done}").map_err(Failure::failed)?;
        }
    }
    failed.map_or_else(|| Ok(audited.exit()), Err)
}

/// What an audit of tables and sinks found.
pub(crate) struct Audited {
    /// The tables.
    pub(crate) report: Report,
    /// How long they took.
    pub(crate) took: Duration,
    sinks: SinkReports,
}

impl Audited {
    /// How the command ends.
    pub(crate) fn exit(&self) -> Exit {
        match (exit(&self.report), self.sinks.differences(), self.sinks.behind()) {
            (Exit::Failed, ..) => Exit::Failed,
            (_, differences, _) if differences > 0 => Exit::Failed,
            (Exit::Done, 0, 0) if self.sinks.not_compared() == 0 => Exit::Done,
            _ => Exit::Behind,
        }
    }

    /// Everything for people. The last line is the number of differences.
    pub(crate) fn tell(&self, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
        let mut text = described(&self.report, self.took);
        text.push_str(&self.sinks.described());
        text.push_str(&differences(&self.report));
        // Writing to a string cannot fail.
        _ = writeln!(text, "differences: {}", self.differences());
        out.write_all(text.as_bytes()).map_err(Failure::failed)
    }

    /// In tables and sinks.
    fn differences(&self) -> u64 {
        self.report.difference_count() + self.sinks.differences()
    }

    fn as_json(&self) -> Value {
        let mut json = as_json(&self.report, self.took);
        json["differences"] = json!(self.differences());
        json["behind"] = json!(self.report.behind + self.sinks.behind());
        json["sinks"] = self.sinks.as_json();
        json
    }
}

/// Audits the tables, then the sinks.
pub(crate) async fn everything(
    server: &Server,
    compiled: &Compiled,
    config: &Config,
    ask: &Ask,
) -> Result<Audited, Failure> {
    let until = Instant::now() + ask.wait;
    let (report, took) = audit(server, compiled, config, ask.wait).await?;
    let database = server.connect(CONNECTIONS).await?;
    let sinks = sinks::compare(compiled, config, &database, ask.sink.as_deref(), ask.repair, until).await;
    database.close();
    Ok(Audited { report, took, sinks: sinks? })
}

/// How a report ends the command.
pub fn exit(report: &Report) -> Exit {
    match (report.difference_count(), report.behind) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Behind,
        _ => Exit::Failed,
    }
}

/// Waits for the process of this data folder, if there is one, and audits; says how long the last audit took.
async fn audit(
    server: &Server,
    compiled: &Compiled,
    config: &Config,
    wait: Duration,
) -> Result<(Report, Duration), Failure> {
    let database = server.connect(CONNECTIONS).await?;
    match provision::check(&database, &compiled.schema).await.map_err(Failure::failed)? {
        SchemaState::Current => {}
        SchemaState::Outdated { missing } => {
            return Err(Failure::failed(format!(
                "{} was built by an earlier version and lacks {}: run `millstream ddl apply`",
                server.options,
                missing.join(", ")
            )));
        }
        SchemaState::Empty => {
            return Err(Failure::failed(format!("{} holds no documents: it is empty", server.options)));
        }
        SchemaState::Other { found } => {
            let wanted = &compiled.schema.hash;
            return Err(Failure::failed(format!(
                "{} was built for effective schema {found}, these files are {wanted}: name the files it was built for",
                server.options
            )));
        }
        SchemaState::Damaged { reason } => {
            return Err(Failure::failed(format!("{} is damaged: {reason}", server.options)));
        }
    }
    let until = Instant::now() + wait;
    sinks::wait_for_cache(config, &database, until).await?;
    loop {
        let live = wait_until_caught_up(config, until).await? || config.queue.in_kafka;
        let started = Instant::now();
        let report = look(&database, compiled).await?;
        if live && exit(&report) == Exit::Behind && Instant::now() < until {
            continue;
        }
        database.close();
        return Ok((report, started.elapsed()));
    }
}

async fn look(database: &Database, compiled: &Compiled) -> Result<Report, Failure> {
    let mut told = Instant::now();
    let mut progress = |report: &Report| {
        if told.elapsed() >= Duration::from_secs(5) {
            told = Instant::now();
            tracing::info!(documents = report.documents, differences = report.difference_count(), "verifying");
        }
    };
    let options = VerifyOptions::default();
    verify(database, &compiled.mapping, &options, &mut progress).await.map_err(Failure::failed)
}

/// Waits for the process of this data folder, if there is one; says whether there is. A process that is not done in time
/// is not an error: what it has not done shows in the report.
async fn wait_until_caught_up(config: &Config, until: Instant) -> Result<bool, Failure> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let request = Request::Wait { version: 0, sink: None, timeout_ms: left.as_millis() as u64 };
        match control::tell(&config.data_dir, &request, left + PATIENCE).await {
            Ok(_) => return Ok(true),
            Err(ControlError::NotRunning(_)) => return Ok(false),
            Err(ControlError::Refused { message, .. }) => {
                let over = is_running(config).await? || Instant::now() >= until;
                tokio::time::sleep(LOOK_AGAIN).await;
                if over {
                    tracing::warn!(message, "the running Millstream has not worked everything off in time");
                    return Ok(true);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the process of this data folder has started and is not about to stop.
async fn is_running(config: &Config) -> Result<bool, Failure> {
    match control::ask(&config.data_dir).await {
        Ok(status) => Ok(status["state"] == "running"),
        Err(ControlError::NotRunning(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn described(report: &Report, took: Duration) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    _ = writeln!(
        text,
        "{} documents, {} rows, in {:.1} s",
        grouped(report.documents),
        grouped(report.rows),
        took.as_secs_f64()
    );
    text
}

/// What is wrong in the tables, by kind with examples.
fn differences(report: &Report) -> String {
    let mut text = String::new();
    for (kind, found) in &report.differences {
        // Writing to a string cannot fail.
        _ = writeln!(text, "{kind}: {}", grouped(found.count));
        examples(&mut text, &found.examples);
    }
    if report.behind > 0 {
        _ = writeln!(text, "behind: {}", grouped(report.behind));
        examples(&mut text, &report.behind_examples);
    }
    text
}

fn examples(text: &mut String, examples: &[Difference]) {
    for example in examples.iter().take(EXAMPLES_SHOWN) {
        _ = writeln!(text, "    {} {}", example.resource, example.uuid);
        _ = writeln!(text, "      expected {}", example.expected);
        _ = writeln!(text, "      found    {}", example.found);
    }
}

fn as_json(report: &Report, took: Duration) -> Value {
    let example = |example: &Difference| {
        json!({
            "id": example.uuid.simple().to_string(),
            "resource": example.resource,
            "expected": example.expected,
            "found": example.found,
        })
    };
    let kinds: Vec<Value> = report
        .differences
        .iter()
        .map(|(kind, found)| {
            let examples: Vec<Value> = found.examples.iter().map(example).collect();
            json!({"kind": kind.name(), "count": found.count, "examples": examples})
        })
        .collect();
    json!({
        "documents": report.documents,
        "rows": report.rows,
        "took_ms": took.as_millis() as u64,
        "kinds": kinds,
        "behind_examples": report.behind_examples.iter().map(example).collect::<Vec<_>>(),
    })
}
