//! `millstream quarantine`: documents that could not be rebuilt or delivered, and what becomes of them.

use super::Outcome;
use crate::{
    args::{QuarantineAction, Quarantined},
    config::Config,
    control::{self, Request, Target},
    exit::Exit,
    failure::Failure,
};
use jiff::Timestamp;
use millstream_store::compose::whole_seconds;
use serde_json::Value;
use similar::TextDiff;
use std::{fmt::Write as _, io::Write, time::Duration};
use uuid::Uuid;

/// A sink may have to be asked what it holds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Does it.
pub async fn run(action: QuarantineAction, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let place = |at: Option<String>| at.as_deref().map(Target::named);
    let (requests, tell): (Vec<Request>, fn(&Value) -> String) = match action {
        QuarantineAction::List { at, json } => {
            (vec![Request::QuarantineList { place: place(at) }], if json { in_full } else { listed })
        }
        QuarantineAction::Show { what, at, json } => {
            let place = place(at);
            let request = match what {
                Quarantined::Document(document) => Request::QuarantineShow { document, place },
                Quarantined::Record(record) => Request::UnreadableShow { record, place },
            };
            (vec![request], if json { in_full } else { shown })
        }
        QuarantineAction::Diff { document, at } => {
            (vec![Request::QuarantineShow { document, place: place(at) }], compared)
        }
        QuarantineAction::Retry { what, at, all: _ } => {
            let (documents, records) = sorted(what);
            if let Some(record) = records.first() {
                return Err(Failure::usage(format!(
                    "{record} cannot be tried again: nobody can read what it asks for. `millstream verify --repair` finds \
                     out what is missing and owes it again; `millstream quarantine skip` lets go of the record"
                )));
            }
            let documents = (!documents.is_empty()).then_some(documents);
            (vec![Request::QuarantineRetry { documents, place: place(at) }], counted)
        }
        QuarantineAction::Skip { what, at } => (skips(sorted(what), place(at).as_ref()), counted),
    };
    for request in &requests {
        let answer = control::tell(&config.data_dir, request, PATIENCE).await?;
        out.write_all(tell(&answer).as_bytes()).map_err(Failure::failed)?;
    }
    Ok(Exit::Done)
}

/// Documents and records apart.
fn sorted(what: Vec<Quarantined>) -> (Vec<Uuid>, Vec<String>) {
    let (mut documents, mut records) = (Vec::new(), Vec::new());
    for one in what {
        match one {
            Quarantined::Document(document) => documents.push(document),
            Quarantined::Record(record) => records.push(record),
        }
    }
    (documents, records)
}

fn skips((documents, records): (Vec<Uuid>, Vec<String>), place: Option<&Target>) -> Vec<Request> {
    let documents = (!documents.is_empty()).then(|| Request::QuarantineSkip { documents, place: place.cloned() });
    let records = (!records.is_empty()).then(|| Request::UnreadableSkip { records, place: place.cloned() });
    documents.into_iter().chain(records).collect()
}

fn in_full(answer: &Value) -> String {
    format!("{answer:#}\n")
}

fn counted(answer: &Value) -> String {
    let pairs = answer.as_object().into_iter().flatten();
    pairs.map(|(what, count)| format!("{what}: {count}\n")).collect()
}

fn entries(answer: &Value) -> &[Value] {
    answer["quarantined"].as_array().map_or(&[], Vec::as_slice)
}

/// Records that nobody could read.
fn unreadable(answer: &Value) -> &[Value] {
    answer["unreadable"].as_array().map_or(&[], Vec::as_slice)
}

fn record(record: &Value) -> String {
    let (place, name, reason) = (text(record, "place"), text(record, "record"), text(record, "reason"));
    format!("{place}  {name}  UNREADABLE, {} bytes\n    {reason}\n", record["bytes"])
}

fn text<'v>(entry: &'v Value, member: &str) -> &'v str {
    entry[member].as_str().unwrap_or("-")
}

fn at(entry: &Value, member: &str) -> String {
    let at = entry[member].as_i64().and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    at.map_or_else(|| "-".to_owned(), whole_seconds)
}

fn line(entry: &Value) -> String {
    let deleted = if entry["deleted"] == true { ", delete" } else { "" };
    format!(
        "{}  {}  {}  version {}{deleted}, {} attempts from {} to {}\n    {}\n",
        text(entry, "place"),
        text(entry, "id"),
        text(entry, "resource"),
        entry["version"],
        entry["attempts"],
        at(entry, "first_failed_at_ms"),
        at(entry, "last_failed_at_ms"),
        text(entry, "reason"),
    )
}

/// A line for each, then how many there are.
fn listed(answer: &Value) -> String {
    let mut told: String = entries(answer).iter().map(line).chain(unreadable(answer).iter().map(record)).collect();
    // Writing to a string cannot fail.
    if !unreadable(answer).is_empty() {
        _ = writeln!(told, "unreadable: {}", unreadable(answer).len());
    }
    _ = writeln!(told, "in quarantine: {}", entries(answer).len());
    told
}

fn pretty(json: &Value) -> String {
    let parsed = json.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    match parsed {
        Some(body) => format!("{body:#}\n"),
        None => json.as_str().map_or_else(|| "nothing\n".to_owned(), |text| format!("{text}\n")),
    }
}

fn shown(answer: &Value) -> String {
    let mut told = String::new();
    for unreadable in unreadable(answer) {
        _ = writeln!(told, "{}holds:\n{}", record(unreadable), text(unreadable, "content"));
    }
    for entry in entries(answer) {
        told.push_str(&line(entry));
        if entry.get("sink").is_some() {
            _ = write!(told, "sent to {} ({} bytes):\n{}", text(entry, "sink"), entry["bytes"], pretty(&entry["sent"]));
        }
    }
    told
}

/// What the sink has beside what the source says, line by line.
fn compared(answer: &Value) -> String {
    let mut told = String::new();
    for entry in entries(answer) {
        let place = text(entry, "place");
        if let Some(error) = entry["held"]["error"].as_str() {
            _ = writeln!(told, "{place} cannot be asked: {error}");
            continue;
        }
        let (held, sent) = (pretty(&entry["held"]), pretty(&entry["sent"]));
        let diff = TextDiff::from_lines(&held, &sent);
        let unified = diff.unified_diff().header(&format!("{place} has"), "the source says").to_string();
        told.push_str(if unified.is_empty() { "both are the same\n" } else { &unified });
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(held: Value) -> Value {
        json!({"quarantined": [{
            "place": "opensearch-g1", "id": "7d1f…", "resource": "ed-fi/students", "version": 7, "deleted": false,
            "reason": "mapper_parsing_exception (12 bytes)", "attempts": 10, "first_failed_at_ms": 0,
            "last_failed_at_ms": 1_000, "sink": "opensearch at 127.0.0.1", "bytes": 12,
            "sent": r#"{"a":1,"b":2}"#, "held": held,
        }]})
    }

    #[test]
    fn a_list_ends_with_the_count() {
        let told = listed(&answer(Value::Null));
        assert!(told.contains("version 7, 10 attempts from 1970-01-01T00:00:00Z to 1970-01-01T00:00:01Z"), "{told}");
        assert!(told.ends_with("in quarantine: 1\n"), "{told}");
    }

    #[test]
    fn records_that_nobody_could_read_are_listed_with_their_place() {
        let answer = json!({"quarantined": [], "unreadable": [{
            "place": "cache", "record": "millstream.work/0/7", "reason": "its format is 9, this version reads 1", "bytes": 3,
        }]});
        let told = listed(&answer);
        assert!(told.starts_with("cache  millstream.work/0/7  UNREADABLE, 3 bytes\n    its format is 9"), "{told}");
        assert!(told.ends_with("unreadable: 1\nin quarantine: 0\n"), "{told}");
    }

    #[test]
    fn a_difference_is_shown_by_lines() {
        let told = compared(&answer(json!(r#"{"a":1,"b":1}"#)));
        assert!(told.contains("-  \"b\": 1") && told.contains("+  \"b\": 2"), "{told}");
        assert_eq!(compared(&answer(json!(r#"{"a":1,"b":2}"#))), "both are the same\n");
        assert!(compared(&answer(Value::Null)).contains("-nothing"));
        assert!(compared(&answer(json!({"error": "away"}))).contains("cannot be asked: away"));
    }
}
