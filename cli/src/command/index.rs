//! `millstream index`: search indexes built anew beside what is live, compared, swapped in, and swapped back.

use super::Outcome;
use crate::{
    args::IndexCommand,
    config::Config,
    control::{self, IndexAction, Request},
    exit::Exit,
    failure::Failure,
    load::grouped,
};
use jiff::Timestamp;
use millstream_store::compose::whole_seconds;
use serde_json::Value;
use std::{fmt::Write as _, io::Write, time::Duration};

/// A comparison reads the whole index.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// Does it.
pub async fn run(command: IndexCommand, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let (sink, action) = match command {
        IndexCommand::List { sink } => (sink, IndexAction::List),
        IndexCommand::Build { sink, per_s } => (sink, IndexAction::Build { per_s }),
        IndexCommand::Compare { sink, generation } => (sink, IndexAction::Compare { generation }),
        IndexCommand::Swap { sink, generation, unchecked } => (sink, IndexAction::Swap { generation, unchecked }),
        IndexCommand::Rollback { sink } => (sink, IndexAction::Rollback),
        IndexCommand::Drop { sink, generation } => (sink, IndexAction::Drop { generation }),
    };
    let request = Request::Index { sink: sink.clone(), action: action.clone() };
    let answer = control::tell(&config.data_dir, &request, PATIENCE).await?;
    let (told, exit) = match action {
        IndexAction::List => (listed(&answer), Exit::Done),
        IndexAction::Build { .. } => {
            let told = format!(
                "generation {} of {sink} is being built; `millstream status` says how far it is, then swap it in\n",
                answer["generation"]
            );
            (told, Exit::Done)
        }
        IndexAction::Compare { .. } => compared(&answer),
        IndexAction::Swap { .. } | IndexAction::Rollback => {
            (format!("searches are answered from generation {} of {sink} now\n", answer["live"]), Exit::Done)
        }
        IndexAction::Drop { .. } => (format!("generation {} of {sink} is gone\n", answer["dropped"]), Exit::Done),
    };
    out.write_all(told.as_bytes()).map_err(Failure::failed)?;
    Ok(exit)
}

// Writing to a string cannot fail.
fn listed(answer: &Value) -> String {
    let mut told = String::new();
    for row in answer["generations"].as_array().into_iter().flatten() {
        let at = row["created_at_ms"].as_i64().and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
        let number = |member: &str| grouped(row[member].as_u64().unwrap_or_default());
        _ = write!(
            told,
            "generation {:<4} {:<5} {:>12} documents {:>14} bytes, made {}",
            row["generation"],
            if row["live"] == true { "LIVE" } else { "" },
            number("documents"),
            number("bytes"),
            at.map_or_else(|| "-".to_owned(), whole_seconds),
        );
        if row["kept_current"] != true {
            told.push_str(", not delivered to");
        }
        if row["mapping_current"] != true {
            told.push_str(", its fields are those of another schema: build a new one");
        }
        told.push('\n');
    }
    told
}

fn compared(answer: &Value) -> (String, Exit) {
    let report = &answer["sinks"][0];
    if let Some(error) = report["error"].as_str().or(report["not_compared"].as_str()) {
        return (format!("could not be compared: {error}\n"), Exit::Failed);
    }
    let number = |member: &str| report[member].as_u64().unwrap_or_default();
    let mut told = format!("{}: {} documents compared\n", report["sink"], grouped(number("compared")));
    for (kind, count) in report["counts"].as_object().into_iter().flatten() {
        _ = writeln!(told, "{kind}: {count}");
    }
    _ = writeln!(told, "differences: {}", number("differences"));
    let exit = match (number("differences"), number("behind")) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Behind,
        _ => Exit::Failed,
    };
    (told, exit)
}
