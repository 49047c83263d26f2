//! `millstream demo`: the whole product in a few minutes, on a database of its own that is removed afterwards.
//!
//! Start, load, rename what most documents embed and read its dependents at once, kill -9 in the middle of a second load
//! and go on, then recompute everything from rows and compare. It ends by itself; its last line is `differences: N`.

mod choice;
mod client;
mod data;
mod lag;
mod process;
mod rename;

use crate::{
    args::{DemoArguments, ProgressStyle},
    catch_up::CatchUp,
    command::{
        Outcome,
        verify::{self, Audited},
    },
    compiled::Compiled,
    config::{Config, Settings, key::Key},
    control,
    database::Server,
    exit::Exit,
    failure::Failure,
    load::{Account, Input, Lines, LoadPlan, Patience, Progress, grouped, load},
    signal::Signals,
};
use client::Client;
use data::DataSet;
use lag::Lag;
use process::Process;
use reqwest::Url;
use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Requests in flight while loading.
const CONNECTIONS: usize = 16;
/// How long a server that is away is waited for: it is killed and started again on purpose.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long queue and cascades may take to be worked off.
const WORK_OFF: Duration = Duration::from_secs(180);
/// Pause between two looks at something that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Figures of the table at the end.
#[derive(Debug, Default)]
struct Figures {
    first: Account,
    second: Account,
    lag_p50_ms: Option<f64>,
    lag_p99_ms: Option<f64>,
    dependents: u64,
    rebuilt: u64,
    killed_after: u64,
    restart: Duration,
}

/// Runs the demo and removes what it made.
pub async fn run(arguments: DemoArguments, out: &mut (dyn Write + Send)) -> Outcome {
    let mut signals = Signals::take_over().map_err(Failure::failed)?;
    // PostgreSQL runs under another account if we are root, and must be able to enter.
    let scratch = tempfile::Builder::new()
        .prefix("millstream-demo-")
        .permissions(fs::Permissions::from_mode(0o711))
        .tempdir()
        .map_err(Failure::failed)?;
    let data_dir = scratch.path().join("data");
    let outcome = tokio::select! {
        outcome = Box::pin(scenario(&arguments, scratch.path(), &data_dir, out)) => outcome,
        signal = signals.next() => Err(Failure::failed(format!("stopped by {signal}"))),
    };
    if outcome.is_err()
        && let Err(failure) = stop_orphan(&data_dir).await
    {
        tracing::error!(%failure, "the demo's PostgreSQL could not be stopped");
    }
    if let Err(error) = scratch.close() {
        tracing::error!(%error, "the demo's folder could not be removed");
    }
    outcome
}

/// After a failure the killed process has left its PostgreSQL running: takes it over and stops it.
async fn stop_orphan(data_dir: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while data_dir.join("postgres/data/postmaster.pid").exists() {
        match Server::own(&config(data_dir, &[])?).await {
            Ok(server) => server.close(Duration::from_secs(10)).await?,
            // The killed process takes a moment to be gone, and its lock with it.
            Err(_) if Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

async fn scenario(arguments: &DemoArguments, scratch: &Path, data_dir: &Path, out: &mut (dyn Write + Send)) -> Outcome {
    let data = data::find(arguments.corpus.as_deref(), scratch)?;
    let started = Instant::now();
    say(out, &format!("Data: {}", data.name))?;
    let compiled = Compiled::from_files(&data.schema)?;
    say(
        out,
        &format!("\n1. Start: a PostgreSQL cluster of its own, {} resource types", compiled.mapping.resources.len()),
    )?;
    let process = Process::start(&data, data_dir, "127.0.0.1:0").await?;
    say(out, &format!("   ready at {} after {:.1} s", process.url, started.elapsed().as_secs_f64()))?;
    let client = Client::new(process.url.clone())?;

    let mut figures = Figures::default();
    say(out, "\n2. Load")?;
    let progress = Progress::new(ProgressStyle::Auto, &[Input::File(data.first.clone())]);
    figures.first = load_file(&process.url, &data.first, arguments, &progress).await?;
    say(out, &indented(&figures.first.to_string()))?;
    let answered = Instant::now();
    let caught = catch_up(data_dir).await?;
    let lag = Lag::parse(&client.metrics().await?);
    (figures.lag_p50_ms, figures.lag_p99_ms) = (lag.quantile_ms(0.5), lag.quantile_ms(0.99));
    say(
        out,
        &format!(
            "   every body is in the cache, the last of them {:.2} s after the last answer",
            caught.last_stored.saturating_duration_since(answered).as_secs_f64()
        ),
    )?;

    say(out, "\n3. Rename what most documents embed")?;
    for choice in choice::choose(&compiled.mapping, &data.first)? {
        let renamed = rename::show(&compiled.mapping, &client, data_dir, &choice, out).await?;
        figures.dependents += choice.dependents;
        figures.rebuilt += renamed.rebuilt;
    }

    say(out, "\n4. kill -9 in the middle of a load, and start again")?;
    let (account, interrupted) = Box::pin(interrupted_load(process, &data, data_dir, arguments)).await?;
    let Interrupted { process, answered, restart } = interrupted;
    say(
        out,
        &format!("   killed after {} answers, ready again after {:.1} s", grouped(answered), restart.as_secs_f64()),
    )?;
    say(out, &indented(&account.to_string()))?;
    (figures.second, figures.killed_after, figures.restart) = (account, answered, restart);
    catch_up(data_dir).await?;

    say(out, "\n5. Verify: recompute identities, edges and bodies of every document from its rows")?;
    let config = config(data_dir, &data.schema)?;
    let ask = verify::Ask { wait: WORK_OFF, ..verify::Ask::default() };
    let audited = verify::everything(&Server::shared(&config).await?, &compiled, &config, &ask).await?;
    say(out, &format!("   took {:.1} s", audited.took.as_secs_f64()))?;
    let status = process.stop().await?;
    if !status.success() {
        return Err(Failure::failed(format!("`millstream up` ended with {status} after SIGTERM")));
    }
    finish(&figures, &audited, started.elapsed(), out)
}

async fn load_file(url: &Url, file: &Path, arguments: &DemoArguments, progress: &Progress) -> Result<Account, Failure> {
    let plan = LoadPlan {
        inputs: vec![Input::File(file.to_owned())],
        url: url.clone(),
        connections: CONNECTIONS,
        patience: Patience(PATIENCE),
        refused: None,
        lines_max: arguments.documents_max,
    };
    let loaded = load(plan, progress, CancellationToken::new()).await.map_err(Failure::failed)?;
    loaded.stopped.map_or(Ok(loaded.account), |error| Err(Failure::failed(error)))
}

/// What killing and starting again came to.
struct Interrupted {
    process: Process,
    /// Lines that were answered when the process was killed.
    answered: u64,
    restart: Duration,
}

/// Loads the second file, kills the process after a quarter of it, starts another, and sees the load through.
async fn interrupted_load(
    process: Process,
    data: &DataSet,
    data_dir: &Path,
    arguments: &DemoArguments,
) -> Result<(Account, Interrupted), Failure> {
    let input = Input::File(data.second.clone());
    let lines = Lines::open(&input, Arc::default()).map_err(Failure::failed)?;
    let quarter = lines.take(arguments.documents_max.unwrap_or(usize::MAX)).count() as u64 / 4;
    let progress = Progress::new(ProgressStyle::Auto, &[input]);
    let (url, listen) = (process.url.clone(), process.listen());
    let interrupting = async {
        while progress.lines() < quarter {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let answered = progress.lines();
        process.kill().await?;
        let killed = Instant::now();
        let process = Process::start(data, data_dir, &listen).await?;
        Ok(Interrupted { process, answered, restart: killed.elapsed() })
    };
    tokio::try_join!(load_file(&url, &data.second, arguments, &progress), interrupting)
}

/// What the projector did until it had caught up.
struct CaughtUp {
    /// Bodies that it has stored since its start.
    stored: u64,
    /// When it stored the last of them.
    last_stored: Instant,
}

/// Waits until everything that was committed is taken in and worked off.
async fn catch_up(data_dir: &Path) -> Result<CaughtUp, Failure> {
    let started = Instant::now();
    let mut caught = CaughtUp { stored: 0, last_stored: started };
    let mut judge = CatchUp::default();
    loop {
        let status = control::ask(data_dir).await?;
        let stored =
            status.pointer("/projector/rebuild/stored").and_then(serde_json::Value::as_u64).unwrap_or_default();
        if stored > caught.stored {
            caught = CaughtUp { stored, last_stored: Instant::now() };
        }
        if judge.is_done(&status) {
            return Ok(caught);
        }
        if started.elapsed() > WORK_OFF {
            return Err(Failure::failed(format!("queue and cascades were not worked off in time: {status}")));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The configuration of the demo's own data folder: defaults, and nothing of the environment.
fn config(data_dir: &Path, schema: &[PathBuf]) -> Result<Config, Failure> {
    let named = |name: &str, paths: Vec<String>| Key::named(name).map(|key| (key, paths));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let flags =
        [named("data_dir", vec![text(data_dir)]), named("schema", schema.iter().map(|path| text(path)).collect())];
    let settings = Settings::of_flags(flags.into_iter().flatten().collect());
    Config::resolve(&settings).map_err(Failure::failed)
}

fn finish(figures: &Figures, audited: &Audited, took: Duration, out: &mut (dyn Write + Send)) -> Outcome {
    let refused = figures.first.refused() + figures.second.refused();
    let lag = |lag: Option<f64>| lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.0} ms"));
    let rows = [
        ("documents", grouped(audited.report.documents)),
        ("rows", grouped(audited.report.rows)),
        (
            "documents/s in",
            format!("{:.0}, and {:.0} with a kill -9 in between", figures.first.rate(), figures.second.rate()),
        ),
        ("refused", grouped(refused)),
        ("cache lag p50 / p99 while loading", format!("{} / {}", lag(figures.lag_p50_ms), lag(figures.lag_p99_ms))),
        (
            "dependents of the renames",
            format!("{}, {} bodies rebuilt", grouped(figures.dependents), grouped(figures.rebuilt)),
        ),
        (
            "killed after",
            format!(
                "{} answers, ready again after {:.1} s",
                grouped(figures.killed_after),
                figures.restart.as_secs_f64()
            ),
        ),
        ("behind", grouped(audited.report.behind)),
        ("took", format!("{:.0} s", took.as_secs_f64())),
    ];
    say(out, "")?;
    for (name, value) in rows {
        say(out, &format!("   {name:<34} {value}"))?;
    }
    say(out, NEXT)?;
    audited.tell(out)?;
    let verified = audited.exit();
    Ok(if refused > 0 && verified == Exit::Done { Exit::Failed } else { verified })
}

const NEXT: &str = "
   Everything was made in a temporary folder and is gone. To keep yours:
     millstream up --schema FOLDER_OF_APISCHEMA_FILES --data-dir DIR
     millstream load --data-dir DIR documents.jsonl.gz
     curl http://127.0.0.1:8080/data/ed-fi/students?limit=3
     millstream status --data-dir DIR
";

fn say(out: &mut (dyn Write + Send), text: &str) -> Result<(), Failure> {
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::failed)
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("   {line}")).collect::<Vec<_>>().join("\n")
}
