//! `millstream load`: from the command line to a load, and from its account to an exit code.

use super::Outcome;
use crate::{
    args::LoadArguments,
    config::Config,
    control,
    exit::Exit,
    failure::Failure,
    load::{Input, LoadError, LoadPlan, Patience, Progress, load},
    signal::Interrupt,
};
use reqwest::Url;
use std::{io::Write, time::Duration};

/// Loads the files; 0 only if every line was accepted.
pub async fn run(arguments: LoadArguments, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let url = match &arguments.url {
        Some(text) => parse(text)?,
        None => running_url(config).await?,
    };
    let inputs: Vec<Input> = arguments.files.into_iter().map(Input::named).collect();
    let progress = Progress::new(arguments.progress, &inputs);
    let plan = LoadPlan {
        inputs,
        url,
        connections: arguments.connections.into(),
        patience: Patience(Duration::from_secs(arguments.patience_s)),
        refused: arguments.refused,
        lines_max: None,
    };
    let interrupt = Interrupt::listen().map_err(Failure::failed)?;
    let loaded = load(plan, &progress, interrupt.token()).await.map_err(Failure::failed)?;
    write!(out, "{}", loaded.account).map_err(Failure::failed)?;
    let is_complete = loaded.is_complete();
    if loaded.interrupted {
        writeln!(out, "interrupted: what was in flight was answered, what follows was not posted")
            .map_err(Failure::failed)?;
    }
    match loaded.stopped {
        Some(error @ LoadError::Unreachable { .. }) if loaded.account.answered() == 0 => {
            Err(Failure::not_running(error))
        }
        Some(error) => Err(Failure::failed(error)),
        None => Ok(if is_complete { Exit::Done } else { Exit::Failed }),
    }
}

fn parse(text: &str) -> Result<Url, Failure> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        Ok(_) => Err(Failure::usage(format!("--url is '{text}': it must be like http://127.0.0.1:8080"))),
        Err(error) => Err(Failure::usage(format!("--url is '{text}': {error}"))),
    }
}

/// The address that the process of this data folder says it has.
async fn running_url(config: &Config) -> Result<Url, Failure> {
    let status = control::ask(&config.data_dir).await?;
    let Some(url) = status.get("address").and_then(serde_json::Value::as_str) else {
        return Err(Failure::not_running(
            "the Millstream of this data folder is starting or stopping: try again shortly",
        ));
    };
    Url::parse(url)
        .map_err(|error| Failure::failed(format!("the running Millstream names no usable address '{url}': {error}")))
}
