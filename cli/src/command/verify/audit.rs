//! The audit of tables and sinks, and its report.

use super::{
    options::VerifyOptions,
    scope::Selected,
    sinks::{self, Comparison, SinkReports},
};
use crate::{
    compiled::Compiled,
    config::Config,
    control::{
        self, ControlError, Request,
        protocol::{ProcessPhase, RepairReport, VerifyExample, VerifyKind, VerifyReport, WaitDone},
    },
    database::Server,
    exit::Exit,
    failure::Failure,
    text::grouped,
};
use millstream_pipeline::memory::MemoryBudget;
use millstream_store::{
    connect::Database,
    provision::{self, SchemaState},
    verify::{self, Difference, Report, Scope},
};
use std::{
    fmt::Write as _,
    io::Write,
    time::{Duration, Instant},
};

/// Connections that an audit needs.
const CONNECTIONS: usize = 2;
/// Pause between two checks of a process that is not ready.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Pause between two progress lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Examples of each kind for people.
const EXAMPLES_SHOWN: usize = 3;
/// Documents concerned in a JSON report.
const CONCERNED_SHOWN: usize = 1_000;
/// Time for the reply of the running process to arrive, beyond the wait itself.
const GRACE: Duration = Duration::from_secs(60);

/// The result of an audit of tables and sinks.
pub(crate) struct Audit {
    /// The tables.
    pub(crate) report: Report,
    /// Duration of the last pass over the tables.
    pub(crate) took: Duration,
    pub(super) sinks: SinkReports,
}

impl Audit {
    /// Returns the exit code of the command.
    pub(crate) fn exit(&self) -> Exit {
        match (exit(&self.report), self.sinks.differences(), self.sinks.behind()) {
            (Exit::Failed, ..) => Exit::Failed,
            (_, differences, _) if differences > 0 => Exit::Failed,
            (Exit::Done, 0, 0) if self.sinks.not_compared() == 0 => Exit::Done,
            _ => Exit::Behind,
        }
    }

    /// Prints the result for people. The last line is the number of differences.
    pub(crate) fn print(&self, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
        let mut text = described(&self.report, self.took);
        text.push_str(&self.sinks.described());
        text.push_str(&differences(&self.report));
        // Writing to a string cannot fail.
        _ = writeln!(text, "differences: {}", self.differences());
        out.write_all(text.as_bytes()).map_err(Failure::failed)
    }

    /// Returns the number of differences in tables and sinks.
    fn differences(&self) -> u64 {
        self.report.difference_count() + self.sinks.differences()
    }

    pub(super) fn into_report(self, repair: Option<RepairReport>) -> VerifyReport {
        let (differences, behind) = (self.differences(), self.report.behind + self.sinks.behind());
        let kinds = self.report.differences.iter().map(|(kind, found)| VerifyKind {
            kind: kind.name().to_owned(),
            count: found.count,
            examples: found.examples.iter().map(example).collect(),
        });
        let concerned = self.report.concerned.iter().map(|(uuid, _)| uuid.simple().to_string());
        let concerned: Vec<String> = concerned.take(CONCERNED_SHOWN).collect();
        let listed = concerned.len() as u64;
        VerifyReport {
            concerned,
            concerned_more: self.report.concerned.len() as u64 - listed + self.report.concerned.beyond(),
            documents: self.report.documents,
            rows: self.report.rows,
            took_ms: self.took.as_millis() as u64,
            kinds: kinds.collect(),
            behind_examples: self.report.behind_examples.iter().map(example).collect(),
            differences,
            behind,
            sinks: self.sinks.into_proofs(),
            repair,
        }
    }
}

fn example(difference: &Difference) -> VerifyExample {
    VerifyExample {
        id: difference.uuid.simple().to_string(),
        resource: difference.resource.clone(),
        expected: difference.expected.clone(),
        found: difference.found.clone(),
    }
}

/// Audits the tables, then the sinks.
pub(crate) async fn audit(
    server: &Server,
    compiled: &Compiled,
    config: &Config,
    options: &VerifyOptions,
) -> Result<Audit, Failure> {
    let until = Instant::now() + options.wait;
    let database = server.connect(CONNECTIONS).await?;
    let outcome = audit_on(&database, server, compiled, config, options, until).await;
    database.close();
    outcome
}

async fn audit_on(
    database: &Database,
    server: &Server,
    compiled: &Compiled,
    config: &Config,
    options: &VerifyOptions,
    until: Instant,
) -> Result<Audit, Failure> {
    check_schema(server, database, compiled).await?;
    let scope = options.documents.resolve(database, compiled).await?;
    let (report, took) = audit_scope(database, compiled, config, &scope, options.wait).await?;
    if let (Selected::Documents(wanted), 0) = (&options.documents, report.documents) {
        let ids: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        return Err(Failure::failed(format!("no such document: {}; it was deleted, or never existed", ids.join(", "))));
    }
    let repair = options.repair && !options.dry_run;
    let sinks =
        Comparison { compiled, config, database, repair }.compare(options.sink.as_deref(), &scope, until).await?;
    Ok(Audit { report, took, sinks })
}

/// Returns the exit code for a report on the tables.
fn exit(report: &Report) -> Exit {
    match (report.difference_count(), report.behind) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Behind,
        _ => Exit::Failed,
    }
}

/// Waits for the process of this data folder, if one runs, and audits the tables; returns the duration of the last pass.
pub(super) async fn audit_scope(
    database: &Database,
    compiled: &Compiled,
    config: &Config,
    scope: &Scope,
    wait: Duration,
) -> Result<(Report, Duration), Failure> {
    let until = Instant::now() + wait;
    let memory = MemoryBudget::new(config.memory_bytes);
    sinks::wait_for_cache(config, database, until).await?;
    loop {
        let live = wait_until_caught_up(config, until).await? || config.queue.in_kafka;
        let started = Instant::now();
        let report = audit_once(database, compiled, scope, &memory).await?;
        if live && exit(&report) == Exit::Behind && Instant::now() < until {
            continue;
        }
        return Ok((report, started.elapsed()));
    }
}

/// Refuses a database that was not built for this schema and version.
async fn check_schema(server: &Server, database: &Database, compiled: &Compiled) -> Result<(), Failure> {
    let problem = match provision::check(database, &compiled.schema).await.map_err(Failure::failed)? {
        SchemaState::Current => return Ok(()),
        SchemaState::Outdated { missing } => {
            format!("was built by an earlier version and lacks {}: run `millstream ddl apply`", missing.join(", "))
        }
        SchemaState::Empty => "is empty: it has no documents".to_owned(),
        SchemaState::Other { found } => {
            let wanted = &compiled.schema.hash;
            format!("was built for effective schema {found}, these files are {wanted}: name the files it was built for")
        }
        SchemaState::Damaged { reason } => format!("is damaged: {reason}"),
    };
    Err(Failure::failed(format!("{} {problem}", server.options)))
}

async fn audit_once(
    database: &Database,
    compiled: &Compiled,
    scope: &Scope,
    memory: &MemoryBudget,
) -> Result<Report, Failure> {
    let mut last_line = Instant::now();
    let mut progress = |report: &Report| {
        if last_line.elapsed() >= LINE_INTERVAL {
            last_line = Instant::now();
            tracing::info!(documents = report.documents, differences = report.difference_count(), "verifying");
        }
    };
    let options = verify::VerifyOptions { memory: memory.clone(), ..verify::VerifyOptions::default() };
    verify::verify_scope(database, &compiled.mapping, scope, &options, &mut progress).await.map_err(Failure::failed)
}

/// Waits for the process of this data folder; returns whether one runs. A process that does not catch up in time is not an
/// error: the lag shows in the report.
async fn wait_until_caught_up(config: &Config, until: Instant) -> Result<bool, Failure> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let request = Request::Wait { version: 0, sink: None, timeout_ms: left.as_millis() as u64 };
        match control::call::<WaitDone>(&config.data_dir, &request, left + GRACE).await {
            Ok(_) => return Ok(true),
            Err(ControlError::NotRunning(_)) => return Ok(false),
            Err(ControlError::Refused { message, .. }) => {
                let over = is_running(config).await? || Instant::now() >= until;
                tokio::time::sleep(POLL_INTERVAL).await;
                if over {
                    tracing::warn!(message, "the running Millstream did not catch up in time");
                    return Ok(true);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the process of this data folder has started and is not stopping.
async fn is_running(config: &Config) -> Result<bool, Failure> {
    match control::status(&config.data_dir).await {
        Ok(status) => Ok(status.state == ProcessPhase::Running),
        Err(ControlError::NotRunning(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn described(report: &Report, took: Duration) -> String {
    let (documents, rows) = (grouped(report.documents), grouped(report.rows));
    format!("{documents} documents, {rows} rows, in {:.1} s\n", took.as_secs_f64())
}

/// Describes the differences in the tables by kind with examples.
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
