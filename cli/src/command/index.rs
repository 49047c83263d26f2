//! `millstream index`: builds a generation of a search index beside the live one, compares it, swaps it in and back.

use crate::{
    args::IndexCommand,
    config::Config,
    control::{
        self, Request,
        protocol::{
            GenerationEntry, GenerationList, IndexAction, IndexBuildStarted, IndexDropped, IndexLive, ProofReport,
            SinkProof,
        },
    },
    exit::Exit,
    failure::{Failure, Outcome},
    text::{grouped, moment},
};
use std::{fmt::Write as _, io::Write, time::Duration};

/// Maximum wait for a reply: a comparison reads the whole index.
const REPLY_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);

/// Performs one action and prints its result.
pub async fn run(command: IndexCommand, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let (text, exit) = match command {
        IndexCommand::List { sink } => {
            let list: GenerationList = call(config, &sink, IndexAction::List).await?;
            (list.generations.iter().map(format_generation).collect(), Exit::Done)
        }
        IndexCommand::Build { sink, per_s } => {
            let build: IndexBuildStarted = call(config, &sink, IndexAction::Build { per_s }).await?;
            let text = format!(
                "generation {} of {sink} is being built; `millstream status` says how far it is, then swap it in\n",
                build.generation
            );
            (text, Exit::Done)
        }
        IndexCommand::Compare { sink, generation } => {
            format_comparison(&call(config, &sink, IndexAction::Compare { generation }).await?)
        }
        IndexCommand::Swap { sink, generation, unchecked } => {
            format_live(&sink, &call(config, &sink, IndexAction::Swap { generation, unchecked }).await?)
        }
        IndexCommand::Rollback { sink } => format_live(&sink, &call(config, &sink, IndexAction::Rollback).await?),
        IndexCommand::Drop { sink, generation } => {
            let dropped: IndexDropped = call(config, &sink, IndexAction::Drop { generation }).await?;
            (format!("generation {} of {sink} is gone\n", dropped.dropped), Exit::Done)
        }
    };
    out.write_all(text.as_bytes()).map_err(Failure::failed)?;
    Ok(exit)
}

async fn call<T: control::protocol::Reply>(config: &Config, sink: &str, action: IndexAction) -> Result<T, Failure> {
    let request = Request::Index { sink: sink.to_owned(), action };
    Ok(control::call(&config.data_dir, &request, REPLY_TIMEOUT).await?)
}

/// Reports which generation is live after a swap or a rollback.
fn format_live(sink: &str, index: &IndexLive) -> (String, Exit) {
    (format!("searches are answered from generation {} of {sink} now\n", index.live), Exit::Done)
}

/// Formats one line of `index list`.
fn format_generation(entry: &GenerationEntry) -> String {
    let mut line = format!(
        "generation {:<4} {:<5} {:>12} documents {:>14} bytes, made {}",
        entry.generation,
        if entry.live { "LIVE" } else { "" },
        grouped(entry.documents),
        grouped(entry.bytes),
        moment(entry.created_at_ms),
    );
    if !entry.kept_current {
        line.push_str(", receives no deliveries");
    }
    if !entry.mapping_current {
        line.push_str(", has the mapping of another schema: build a new generation");
    }
    line.push('\n');
    line
}

/// Formats a comparison; the exit code follows from its differences.
fn format_comparison(report: &ProofReport) -> (String, Exit) {
    let comparison = match report.sinks.first() {
        Some(SinkProof::Compared(comparison)) => comparison,
        Some(SinkProof::Failed { error: reason, .. } | SinkProof::NotCompared { not_compared: reason, .. }) => {
            return (format!("could not be compared: {reason}\n"), Exit::Failed);
        }
        None => return ("could not be compared: the report is empty\n".to_owned(), Exit::Failed),
    };
    let mut text = format!("{}: {} documents compared\n", comparison.sink, grouped(comparison.compared));
    for (kind, count) in &comparison.counts {
        // Writing to a string cannot fail.
        _ = writeln!(text, "{kind}: {count}");
    }
    _ = writeln!(text, "differences: {}", comparison.differences);
    let exit = match (comparison.differences, comparison.behind) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Behind,
        _ => Exit::Failed,
    };
    (text, exit)
}
