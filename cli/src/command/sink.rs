//! `millstream sink`: copies of all documents, joined and parted while everything runs.

use super::Outcome;
use crate::{
    args::SinkAction,
    config::Config,
    control::{self, Request, Target},
    exit::Exit,
    failure::Failure,
};
use millstream_projector::sink_manager::backfill;
use std::{io::Write, time::Duration};

/// Long enough for deliveries in hand to finish.
const PATIENCE: Duration = Duration::from_secs(60);

/// Does it.
pub async fn run(action: SinkAction, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let (request, told) = match action {
        SinkAction::Run(_) => return Err(Failure::usage("a sink that runs by itself is started before commands are")),
        SinkAction::Add { sink, no_backfill, per_s } => {
            let told =
                if no_backfill { "is added, without what is there already" } else { "is added and being filled" };
            let told = format!("{sink} {told}");
            (Request::SinkAdd { sink, backfill: (!no_backfill).then_some(per_s) }, told)
        }
        SinkAction::Remove { sink } => {
            let told = format!("{sink} is removed; what it holds stays as it is{}", wanted(config, &sink));
            (Request::SinkRemove { sink }, told)
        }
        SinkAction::Pause { sink } => {
            let told = format!("{sink} is paused: at most one entry a document waits until it is resumed");
            (Request::SinkPause { sink, paused: true }, told)
        }
        SinkAction::Resume { sink } => {
            let told = format!("{sink} is resumed");
            (Request::SinkPause { sink, paused: false }, told)
        }
        SinkAction::Backfill { sink, per_s } => {
            let told = format!("{sink} is being filled: see `millstream status`");
            (Request::Replay { target: Target::Sink(sink), spec: backfill(per_s) }, told)
        }
    };
    control::tell(&config.data_dir, &request, PATIENCE).await?;
    writeln!(out, "{told}").map_err(Failure::failed)?;
    Ok(Exit::Done)
}

fn wanted(config: &Config, sink: &str) -> &'static str {
    if config.sinks.wanted.iter().any(|wanted| wanted == sink) {
        "; the configuration wants it, so the next start adds it again: take it out of `sinks`"
    } else {
        ""
    }
}
