//! `millstream sink`: adds, removes, pauses, resumes and backfills sinks of the running process.

use crate::{
    args::SinkAction,
    config::Config,
    control::{
        self, Request,
        protocol::{ReplayStarted, SinkAdded, SinkPaused, SinkRemoved, Target},
    },
    exit::Exit,
    failure::{Failure, Outcome},
};
use millstream_projector::sink_manager::backfill;
use std::{io::Write, time::Duration};

/// Time limit for a reply. The deliveries in flight must finish before a sink is removed.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Performs one action and prints its result.
pub async fn run(action: SinkAction, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let data_dir = &config.data_dir;
    let text = match action {
        SinkAction::Run(_) => return Err(Failure::usage("`millstream sink NAME` is a role, not an action")),
        SinkAction::Add { sink, no_backfill, per_s } => {
            let request = Request::SinkAdd { sink: sink.clone(), backfill: (!no_backfill).then_some(per_s) };
            let _: SinkAdded = control::call(data_dir, &request, REPLY_TIMEOUT).await?;
            let done =
                if no_backfill { "is added, without the existing documents" } else { "is added and being filled" };
            format!("{sink} {done}")
        }
        SinkAction::Remove { sink } => {
            let request = Request::SinkRemove { sink: sink.clone() };
            let _: SinkRemoved = control::call(data_dir, &request, REPLY_TIMEOUT).await?;
            format!("{sink} is removed; what it holds stays as it is{}", configuration_hint(config, &sink))
        }
        SinkAction::Pause { sink } => {
            pause(config, &sink, true).await?;
            format!("{sink} is paused: at most one entry per document waits until it is resumed")
        }
        SinkAction::Resume { sink } => {
            pause(config, &sink, false).await?;
            format!("{sink} is resumed")
        }
        SinkAction::Backfill { sink, per_s } => {
            let request = Request::Replay { target: Target::Sink(sink.clone()), spec: backfill(per_s) };
            let _: ReplayStarted = control::call(data_dir, &request, REPLY_TIMEOUT).await?;
            format!("{sink} is being filled: see `millstream status`")
        }
    };
    writeln!(out, "{text}").map_err(Failure::failed)?;
    Ok(Exit::Done)
}

async fn pause(config: &Config, sink: &str, paused: bool) -> Result<SinkPaused, Failure> {
    let request = Request::SinkPause { sink: sink.to_owned(), paused };
    Ok(control::call(&config.data_dir, &request, REPLY_TIMEOUT).await?)
}

/// Returns a remark for the case that the next start adds the sink again, because the configuration names it.
fn configuration_hint(config: &Config, sink: &str) -> &'static str {
    if config.sinks.wanted.iter().any(|wanted| wanted.name() == sink) {
        "; the next start adds it again because the configuration names it: to make the removal permanent, remove \
         it from `sinks`"
    } else {
        ""
    }
}
