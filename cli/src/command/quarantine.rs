//! `millstream quarantine`: lists, shows, retries and discards documents that could not be rebuilt or delivered.

use crate::{
    args::{QuarantineAction, QuarantinedId},
    config::Config,
    control::{
        self, Request,
        protocol::{
            EntriesReleased, EntriesSkipped, QuarantineEntry, QuarantineReport, SinkCopy, Target, UnreadableRecord,
        },
    },
    exit::Exit,
    failure::{Failure, Outcome},
    text::moment,
};
use serde_json::Value;
use similar::TextDiff;
use std::{fmt::Write as _, io::Write, time::Duration};
use uuid::Uuid;

/// Maximum wait for a reply: the process may have to read a sink.
const REPLY_TIMEOUT: Duration = Duration::from_secs(120);

/// Performs one action and prints its result.
pub async fn run(action: QuarantineAction, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let place = |at: Option<String>| at.as_deref().map(Target::named);
    let text = match action {
        QuarantineAction::List { at, json } => {
            let report = report(config, Request::QuarantineList { place: place(at) }).await?;
            if json { to_json(&report)? } else { format_list(&report) }
        }
        QuarantineAction::Show { what, at, json } => {
            let place = place(at);
            let request = match what {
                QuarantinedId::Document(document) => Request::QuarantineShow { document, place },
                QuarantinedId::Record(record) => Request::UnreadableShow { record, place },
            };
            let report = report(config, request).await?;
            if json { to_json(&report)? } else { format_entries(&report) }
        }
        QuarantineAction::Diff { document, at } => {
            format_diffs(&report(config, Request::QuarantineShow { document, place: place(at) }).await?)
        }
        QuarantineAction::Retry { what, at, all: _ } => retry(config, what, place(at)).await?,
        QuarantineAction::Skip { what, at } => return skip(config, what, place(at), out).await,
    };
    out.write_all(text.as_bytes()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

async fn report(config: &Config, request: Request) -> Result<QuarantineReport, Failure> {
    Ok(control::call(&config.data_dir, &request, REPLY_TIMEOUT).await?)
}

async fn retry(config: &Config, what: Vec<QuarantinedId>, place: Option<Target>) -> Result<String, Failure> {
    let (documents, records) = partition(what);
    if let Some(record) = records.first() {
        return Err(Failure::usage(format!(
            "{record} cannot be tried again: it cannot be parsed. `millstream verify --repair` finds the documents \
             that are missing because of it and enqueues them; `millstream quarantine skip` discards the record"
        )));
    }
    let request = Request::QuarantineRetry { documents: (!documents.is_empty()).then_some(documents), place };
    let released: EntriesReleased = control::call(&config.data_dir, &request, REPLY_TIMEOUT).await?;
    Ok(format!("released: {}\n", released.released))
}

/// Discards documents, then records. Prints the number of documents even if the request for the records then fails.
async fn skip(
    config: &Config,
    what: Vec<QuarantinedId>,
    place: Option<Target>,
    out: &mut (dyn Write + Send),
) -> Outcome {
    let (documents, records) = partition(what);
    let documents = (!documents.is_empty()).then(|| Request::QuarantineSkip { documents, place: place.clone() });
    let records = (!records.is_empty()).then_some(Request::UnreadableSkip { records, place });
    for request in documents.into_iter().chain(records) {
        let skipped: EntriesSkipped = control::call(&config.data_dir, &request, REPLY_TIMEOUT).await?;
        writeln!(out, "skipped: {}", skipped.skipped).map_err(Failure::failed)?;
    }
    Ok(Exit::Done)
}

/// Separates documents and records.
fn partition(what: Vec<QuarantinedId>) -> (Vec<Uuid>, Vec<String>) {
    let (mut documents, mut records) = (Vec::new(), Vec::new());
    for id in what {
        match id {
            QuarantinedId::Document(document) => documents.push(document),
            QuarantinedId::Record(record) => records.push(record),
        }
    }
    (documents, records)
}

fn to_json(report: &QuarantineReport) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(report).map_err(Failure::failed)? + "\n")
}

fn record_line(record: &UnreadableRecord) -> String {
    let UnreadableRecord { place, record, reason, bytes, .. } = record;
    format!("{place}  {record}  UNREADABLE, {bytes} bytes\n    {reason}\n")
}

fn entry_line(entry: &QuarantineEntry) -> String {
    format!(
        "{}  {}  {}  version {}{}, {} attempts from {} to {}\n    {}\n",
        entry.place,
        entry.id,
        entry.resource.as_deref().unwrap_or("-"),
        entry.version,
        if entry.deleted { ", delete" } else { "" },
        entry.attempts,
        moment(entry.first_failed_at_ms),
        moment(entry.last_failed_at_ms),
        entry.reason,
    )
}

/// Formats all entries and unreadable records, then their counts.
fn format_list(report: &QuarantineReport) -> String {
    let entries = report.quarantined.iter().map(entry_line);
    let mut text: String = entries.chain(report.unreadable().iter().map(record_line)).collect();
    // Writing to a string cannot fail.
    if !report.unreadable().is_empty() {
        _ = writeln!(text, "unreadable: {}", report.unreadable().len());
    }
    _ = writeln!(text, "in quarantine: {}", report.quarantined.len());
    text
}

/// Formats a body with one member per line; returns it unchanged if it is not JSON, and `nothing` without a body.
fn pretty_body(body: Option<&str>) -> String {
    let Some(body) = body else { return "nothing\n".to_owned() };
    match serde_json::from_str::<Value>(body) {
        Ok(parsed) => format!("{parsed:#}\n"),
        Err(_) => format!("{body}\n"),
    }
}

/// Formats entries with the body that is sent to the sink, and unreadable records with their content.
fn format_entries(report: &QuarantineReport) -> String {
    let mut text = String::new();
    for record in report.unreadable() {
        _ = writeln!(text, "{}holds:\n{}", record_line(record), record.content.as_deref().unwrap_or("-"));
    }
    for entry in &report.quarantined {
        text.push_str(&entry_line(entry));
        if let Some(view) = &entry.view {
            let bytes = view.bytes.map_or_else(|| "null".to_owned(), |bytes| bytes.to_string());
            _ = write!(text, "sent to {} ({bytes} bytes):\n{}", view.sink, pretty_body(view.sent.as_deref()));
        }
    }
    text
}

/// Formats the difference between the copy in the sink and the body to deliver, line by line.
fn format_diffs(report: &QuarantineReport) -> String {
    let mut text = String::new();
    for entry in &report.quarantined {
        let (held, sent) = match &entry.view {
            Some(view) => {
                let held = match &view.held {
                    SinkCopy::Body(body) => body.as_deref(),
                    SinkCopy::Failed { error } => {
                        _ = writeln!(text, "{} cannot be read: {error}", entry.place);
                        continue;
                    }
                };
                (held, view.sent.as_deref())
            }
            None => (None, None),
        };
        let (held, sent) = (pretty_body(held), pretty_body(sent));
        let diff = TextDiff::from_lines(&held, &sent);
        let unified = diff.unified_diff().header(&format!("{} has", entry.place), "the source says").to_string();
        text.push_str(if unified.is_empty() { "both are the same\n" } else { &unified });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::SinkView;

    fn entry(held: SinkCopy) -> QuarantineReport {
        let view = SinkView {
            sink: "opensearch at 127.0.0.1".to_owned(),
            bytes: Some(12),
            sent: Some(r#"{"a":1,"b":2}"#.to_owned()),
            held,
        };
        let entry = QuarantineEntry {
            place: "opensearch-g1".to_owned(),
            id: Uuid::from_u128(7),
            resource: Some("ed-fi/students".to_owned()),
            version: 7,
            deleted: false,
            reason: "mapper_parsing_exception (12 bytes)".to_owned(),
            attempts: 10,
            first_failed_at_ms: 0,
            last_failed_at_ms: 1_000,
            view: Some(view),
        };
        QuarantineReport { quarantined: vec![entry], unreadable: None }
    }

    fn body(text: &str) -> SinkCopy {
        SinkCopy::Body(Some(text.to_owned()))
    }

    #[test]
    fn a_list_ends_with_the_count() {
        let text = format_list(&entry(SinkCopy::Body(None)));
        assert!(text.contains("version 7, 10 attempts from 1970-01-01T00:00:00Z to 1970-01-01T00:00:01Z"), "{text}");
        assert!(text.ends_with("in quarantine: 1\n"), "{text}");
    }

    #[test]
    fn unreadable_records_are_listed_with_their_place() {
        let record = UnreadableRecord {
            place: "cache".to_owned(),
            record: "millstream.work/0/7".to_owned(),
            reason: "its format is 9, this version reads 1".to_owned(),
            bytes: 3,
            content: None,
        };
        let text = format_list(&QuarantineReport { quarantined: Vec::new(), unreadable: Some(vec![record]) });
        assert!(text.starts_with("cache  millstream.work/0/7  UNREADABLE, 3 bytes\n    its format is 9"), "{text}");
        assert!(text.ends_with("unreadable: 1\nin quarantine: 0\n"), "{text}");
    }

    #[test]
    fn a_difference_is_shown_by_lines() {
        let text = format_diffs(&entry(body(r#"{"a":1,"b":1}"#)));
        assert!(text.contains("-  \"b\": 1") && text.contains("+  \"b\": 2"), "{text}");
        assert_eq!(format_diffs(&entry(body(r#"{"a":1,"b":2}"#))), "both are the same\n");
        assert!(format_diffs(&entry(SinkCopy::Body(None))).contains("-nothing"));
        assert!(format_diffs(&entry(SinkCopy::Failed { error: "away".to_owned() })).contains("cannot be read: away"));
    }
}
