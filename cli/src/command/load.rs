//! `millstream load`: runs a load and prints its account.

use crate::{
    args::LoadArguments,
    config::Config,
    control,
    exit::Exit,
    failure::{Failure, Outcome},
    load::{Input, LoadError, LoadPlan, Progress, RetryLimit, load},
    signal::Interrupt,
};
use reqwest::Url;
use std::{io::Write, time::Duration};

/// Loads the files. Exit code 0 only if every line was accepted.
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
        retry_limit: RetryLimit(Duration::from_secs(arguments.patience_s)),
        refused: arguments.refused,
        lines_max: None,
    };
    let interrupt = Interrupt::listen().map_err(Failure::failed)?;
    let loaded = load(plan, &progress, interrupt.token()).await.map_err(Failure::failed)?;
    write!(out, "{}", loaded.account).map_err(Failure::failed)?;
    let is_complete = loaded.is_complete();
    if loaded.interrupted {
        writeln!(out, "interrupted: requests in flight were answered, the remaining lines were not posted")
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

/// Returns the address of the process of this data folder.
async fn running_url(config: &Config) -> Result<Url, Failure> {
    let status = control::status(&config.data_dir).await?;
    let Some(process) = status.running else {
        return Err(Failure::not_running(
            "the Millstream of this data folder is starting or stopping: try again shortly",
        ));
    };
    let address = &process.address;
    Url::parse(address).map_err(|error| {
        Failure::failed(format!("invalid address '{address}' in the status of the running Millstream: {error}"))
    })
}
