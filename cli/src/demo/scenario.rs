//! The steps of the demo.

use super::{
    catch_up::{CATCH_UP_TIMEOUT, POLL_INTERVAL, catch_up},
    choice,
    client::Client,
    data::{self, DataSet},
    lag::LagHistogram,
    output::{indented, say},
    process::Process,
    rename,
};
use crate::{
    args::{DemoArguments, ProgressStyle},
    command::verify::{self, Audit, VerifyOptions},
    compiled::Compiled,
    config::{Config, Settings, key::Key},
    database::Server,
    exit::Exit,
    failure::{Failure, Outcome},
    load::{Account, Input, Lines, LoadPlan, Progress, RetryLimit, load},
    signal::Signals,
    text::grouped,
};
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
/// Longest retry of one line: the demo kills the server and starts it again.
const RETRY_LIMIT: RetryLimit = RetryLimit(Duration::from_secs(120));

/// Counters of the table at the end.
#[derive(Debug, Default)]
struct Counters {
    first: Account,
    second: Account,
    lag_p50_ms: Option<f64>,
    lag_p99_ms: Option<f64>,
    dependents: u64,
    rebuilt: u64,
    killed_after: u64,
    restart: Duration,
}

/// Runs the demo and removes everything that it created.
pub async fn run(arguments: DemoArguments, out: &mut (dyn Write + Send)) -> Outcome {
    let mut signals = Signals::take_over().map_err(Failure::failed)?;
    // Under root PostgreSQL runs as another user, which must be able to enter the folder.
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
        tracing::error!(%failure, "failed to stop the demo's PostgreSQL");
    }
    if let Err(error) = scratch.close() {
        tracing::error!(%error, "failed to remove the demo's folder");
    }
    outcome
}

/// Stops the PostgreSQL server that a killed process left running after a failure.
async fn stop_orphan(data_dir: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while data_dir.join("postgres/data/postmaster.pid").exists() {
        match Server::start(&config(data_dir, &[])?).await {
            Ok(server) => server.close(Duration::from_secs(10)).await?,
            // The killed process may still hold its lock for a moment.
            Err(_) if Instant::now() < deadline => tokio::time::sleep(POLL_INTERVAL).await,
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

    let mut counters = Counters::default();
    say(out, "\n2. Load")?;
    let progress = Progress::new(ProgressStyle::Auto, &[Input::File(data.first.clone())]);
    counters.first = load_file(&process.url, &data.first, arguments, &progress).await?;
    say(out, &indented(&counters.first.to_string()))?;
    let answered = Instant::now();
    let caught = catch_up(data_dir).await?;
    let lag = LagHistogram::parse(&client.metrics().await?);
    (counters.lag_p50_ms, counters.lag_p99_ms) = (lag.quantile_ms(0.5), lag.quantile_ms(0.99));
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
        counters.dependents += choice.dependents;
        counters.rebuilt += renamed.rebuilt;
    }

    say(out, "\n4. kill -9 in the middle of a load, and start again")?;
    let (account, interrupted) = Box::pin(interrupted_load(process, &data, data_dir, arguments)).await?;
    let Interrupted { process, answered, restart } = interrupted;
    say(
        out,
        &format!("   killed after {} answers, ready again after {:.1} s", grouped(answered), restart.as_secs_f64()),
    )?;
    say(out, &indented(&account.to_string()))?;
    (counters.second, counters.killed_after, counters.restart) = (account, answered, restart);
    catch_up(data_dir).await?;

    say(out, "\n5. Verify: recompute identities, edges and bodies of every document from its rows")?;
    let config = config(data_dir, &data.schema)?;
    let options = VerifyOptions { wait: CATCH_UP_TIMEOUT, ..VerifyOptions::default() };
    let audit = verify::audit(&Server::attach(&config).await?, &compiled, &config, &options).await?;
    say(out, &format!("   took {:.1} s", audit.took.as_secs_f64()))?;
    let status = process.stop().await?;
    if !status.success() {
        return Err(Failure::failed(format!("`millstream up` ended with {status} after SIGTERM")));
    }
    finish(&counters, &audit, started.elapsed(), out)
}

async fn load_file(url: &Url, file: &Path, arguments: &DemoArguments, progress: &Progress) -> Result<Account, Failure> {
    let plan = LoadPlan {
        inputs: vec![Input::File(file.to_owned())],
        url: url.clone(),
        connections: CONNECTIONS,
        retry_limit: RETRY_LIMIT,
        refused: None,
        lines_max: arguments.documents_max,
    };
    let loaded = load(plan, progress, CancellationToken::new()).await.map_err(Failure::failed)?;
    loaded.stopped.map_or(Ok(loaded.account), |error| Err(Failure::failed(error)))
}

/// The result of killing and restarting the process.
struct Interrupted {
    process: Process,
    /// Lines with a result when the process was killed.
    answered: u64,
    restart: Duration,
}

/// Loads the second file; kills the process after a quarter of it and starts another one, which serves the rest.
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
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let answered = progress.lines();
        process.kill().await?;
        let killed = Instant::now();
        let process = Process::start(data, data_dir, &listen).await?;
        Ok(Interrupted { process, answered, restart: killed.elapsed() })
    };
    tokio::try_join!(load_file(&url, &data.second, arguments, &progress), interrupting)
}

/// Returns the configuration of the demo's data folder: defaults only, without the environment.
fn config(data_dir: &Path, schema: &[PathBuf]) -> Result<Config, Failure> {
    let named = |name: &str, paths: Vec<String>| Key::named(name).map(|key| (key, paths));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let flags =
        [named("data_dir", vec![text(data_dir)]), named("schema", schema.iter().map(|path| text(path)).collect())];
    let settings = Settings::of_flags(flags.into_iter().flatten().collect());
    Config::resolve(&settings).map_err(Failure::failed)
}

fn finish(counters: &Counters, audit: &Audit, took: Duration, out: &mut (dyn Write + Send)) -> Outcome {
    let refused = counters.first.refused() + counters.second.refused();
    let lag = |lag: Option<f64>| lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.0} ms"));
    let rows = [
        ("documents", grouped(audit.report.documents)),
        ("rows", grouped(audit.report.rows)),
        (
            "documents/s in",
            format!("{:.0}, and {:.0} with a kill -9 in between", counters.first.rate(), counters.second.rate()),
        ),
        ("refused", grouped(refused)),
        ("cache lag p50 / p99 while loading", format!("{} / {}", lag(counters.lag_p50_ms), lag(counters.lag_p99_ms))),
        (
            "dependents of the renames",
            format!("{}, {} bodies rebuilt", grouped(counters.dependents), grouped(counters.rebuilt)),
        ),
        (
            "killed after",
            format!(
                "{} answers, ready again after {:.1} s",
                grouped(counters.killed_after),
                counters.restart.as_secs_f64()
            ),
        ),
        ("behind", grouped(audit.report.behind)),
        ("took", format!("{:.0} s", took.as_secs_f64())),
    ];
    say(out, "")?;
    for (name, value) in rows {
        say(out, &format!("   {name:<34} {value}"))?;
    }
    say(out, NEXT)?;
    audit.print(out)?;
    let verified = audit.exit();
    Ok(if refused > 0 && verified == Exit::Done { Exit::Failed } else { verified })
}

const NEXT: &str = "
   The demo ran in a temporary folder, which is removed. To keep your own data:
     millstream up --schema FOLDER_OF_APISCHEMA_FILES --data-dir DIR
     millstream load --data-dir DIR documents.jsonl.gz
     curl http://127.0.0.1:8080/data/ed-fi/students?limit=3
     millstream status --data-dir DIR
";
