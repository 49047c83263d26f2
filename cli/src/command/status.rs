//! `millstream status`: what the process of this data folder says about itself.

use super::Outcome;
use crate::{config::Config, control, exit::Exit, failure::Failure, load::grouped};
use jiff::Timestamp;
use millstream_store::compose::whole_seconds;
use serde_json::Value;
use std::{fmt::Write as _, io::Write};

/// Prints the status as a table, or as JSON.
pub async fn run(json: bool, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let status = control::ask(&config.data_dir).await?;
    let text = if json { format!("{status:#}\n") } else { Table::of(&status) };
    out.write_all(text.as_bytes()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

/// The status for people, a line for each stage. What is missing in it is shown as `-`.
struct Table<'v> {
    status: &'v Value,
    text: String,
}

impl Table<'_> {
    fn of(status: &Value) -> String {
        let mut table = Table { status, text: String::new() };
        table.row("process", "{/pid}, {/state}, {/uptime_ms} ms up, version {/version}");
        if status.get("address").is_some() {
            table.parts();
        }
        table.text
    }

    fn parts(&mut self) {
        self.row("api", "{/address}");
        self.row("schema", "{/effective_schema_hash}");
        self.row(
            "database",
            "{/database/address}, {/database/connections} of {/database/connections_max} connections, \
             {/database/connections_idle} idle, {/database/waiting} waiting, newest version {/database/newest_version}",
        );
        if self.status.pointer("/projector/source").is_none() {
            return self.row("projector", "{/projector/error}");
        }
        self.source();
        self.row(
            "queue",
            "{/projector/queue/depth} waiting, oldest {/projector/queue/oldest_age_ms} ms, \
             {/projector/queue/quarantined} in quarantine, {/projector/queue/disk_bytes} bytes on disk, \
             {/projector/queue/touches} only touched, {/projector/queue/delayed} put off, {/projector/queue/eta_ms} ms left",
        );
        self.row(
            "rebuild",
            "{/projector/rebuild/stored} stored, up to version {/projector/rebuild/version}, \
             {/projector/rebuild/stored_per_s}/s, {/projector/queue/in_flight} in work by {/projector/rebuild/workers} \
             workers, {/projector/rebuild/holds} held, {/projector/rebuild/failures} failures, \
             {/projector/rebuild/alarms} alarms",
        );
        self.row(
            "cascades",
            "{/projector/cascade/open} open, oldest {/projector/cascade/oldest_age_ms} ms, \
             {/projector/cascade/stamped} referrers stamped, {/projector/cascade/stamped_per_s}/s by \
             {/projector/cascade/workers} workers, {/projector/cascade/finished} finished, \
             {/projector/cascade/failures} failures",
        );
        self.unreadable("/projector/queue/unreadable");
        if self.is_true("/projector/resync/running") {
            self.row(
                "comparing",
                "{/projector/resync/compared} documents compared, {/projector/resync/enqueued} found behind",
            );
        }
        self.replay("replay", self.status.get("replay"));
        for lane in self.status.get("lanes").and_then(Value::as_array).into_iter().flatten() {
            self.lane(lane);
        }
        // What went wrong last may be long mended: it is told with its time.
        if let Some(at) = self.status.get("projector").and_then(moment) {
            self.row("trouble", &format!("{at}, the last: {{/projector/last_error/text}}"));
        }
        if self.status.pointer("/projector/fatal").is_some_and(Value::is_string) {
            self.row("FATAL", "{/projector/fatal}");
        }
    }

    /// Where changes come from, and how far that is.
    fn source(&mut self) {
        if self.is_true("/projector/source/connected") {
            self.row(
                "source",
                "connected, {/projector/source/lag} {/projector/source/lag_unit} behind, {/projector/source/changes} changes taken in, \
                 {/projector/source/changes_per_s}/s, confirmed {/projector/source/confirmed} of \
                 {/projector/source/server_position}, {/projector/source/behind_ms} ms behind, \
                 {/projector/source/eta_ms} ms left, {/projector/source/failures} failures",
            );
        } else {
            self.row(
                "source",
                "NOT CONNECTED, confirmed {/projector/source/confirmed}, {/projector/source/behind_ms} ms behind: \
                 {/projector/source/last_error}",
            );
        }
    }

    /// Records that nobody could read, if there are any.
    fn unreadable(&mut self, path: &str) {
        if self.status.pointer(path).and_then(Value::as_u64).is_some_and(|count| count > 0) {
            self.row("", &format!("{{{path}}} UNREADABLE records are kept: see `millstream quarantine list`"));
        }
    }

    /// The lines of one lane.
    fn lane(&mut self, lane: &Value) {
        let name = lane["name"].as_str().unwrap_or("?").to_owned();
        let mut of_lane = Table { status: lane, text: String::new() };
        of_lane.row(
            &name,
            "{/depth} waiting, oldest {/oldest_age_ms} ms, {/delivered} delivered, {/delivered_per_s}/s, {/eta_ms} ms left, \
             {/retried} retried, {/rejected} rejected, {/quarantined} in quarantine, {/requests} of {/concurrency} \
             requests, {/delayed} put off, up to version {/version}",
        );
        of_lane.unreadable("/unreadable");
        if lane["paused"] == true {
            of_lane.row("", &format!("PAUSED: `millstream sink resume {name}` lets it go on"));
        }
        if lane["fatal"].is_string() {
            of_lane.row("", "NOT DELIVERED TO: {/fatal}");
        }
        if let Some(at) = moment(lane) {
            of_lane.row("", &format!("{at}, the last trouble: {{/last_error/text}}"));
        }
        of_lane.replay("", lane.get("replay"));
        self.text.push_str(&of_lane.text);
    }

    /// A replay that runs or failed; one that is done is no news.
    fn replay(&mut self, name: &str, replay: Option<&Value>) {
        let Some(replay) = replay.filter(|replay| replay["state"] == "running" || replay["state"] == "failed") else {
            return;
        };
        let mut of_replay = Table { status: replay, text: String::new() };
        of_replay.row(name, "replay {/state}: {/done} of {/total} documents owed again, trouble: {/last_error}");
        self.text.push_str(&of_replay.text);
    }

    fn is_true(&self, path: &str) -> bool {
        self.status.pointer(path).and_then(Value::as_bool) == Some(true)
    }

    /// A line whose `{/path}`s are replaced by what stands there.
    fn row(&mut self, name: &str, form: &str) {
        let mut line = String::new();
        let mut rest = form;
        while let Some((before, after)) = rest.split_once('{') {
            let (path, after) = after.split_once('}').unwrap_or((after, ""));
            line.push_str(before);
            line.push_str(&shown(self.status.pointer(path)));
            rest = after;
        }
        line.push_str(rest);
        // Writing to a string cannot fail.
        _ = writeln!(self.text, "{name:<10} {line}");
    }
}

/// When something went wrong last.
fn moment(of: &Value) -> Option<String> {
    let at_ms = of.pointer("/last_error/at_ms").and_then(Value::as_i64)?;
    Timestamp::from_millisecond(at_ms).ok().map(whole_seconds)
}

fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(value) => value.as_u64().map_or_else(|| value.to_string(), grouped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_process_that_has_not_started_is_one_line() {
        let status = json!({"pid": 7, "version": "1.2.3", "state": "starting or stopping"});
        assert_eq!(Table::of(&status), "process    7, starting or stopping, - ms up, version 1.2.3\n");
    }

    #[test]
    fn lanes_are_shown_with_what_keeps_them() {
        let status = json!({
            "address": "http://127.0.0.1:1",
            "projector": {"source": {"connected": true}},
            "lanes": [{"name": "kafka", "depth": 1234, "delivered": 5, "paused": true, "fatal": null,
                       "replay": {"state": "running", "done": 10, "total": 20, "last_error": null}}],
        });
        let text = Table::of(&status);
        assert!(text.contains("kafka      1,234 waiting") && text.contains("PAUSED"), "{text}");
        assert!(text.contains("replay running: 10 of 20") && !text.contains("NOT DELIVERED"), "{text}");
    }

    #[test]
    fn trouble_is_shown_and_numbers_are_grouped() {
        let status = json!({
            "address": "http://127.0.0.1:1",
            "projector": {
                "source": {"connected": false, "last_error": "no slot"},
                "queue": {"depth": 12345},
                "resync": {"running": true, "compared": 3, "enqueued": 1},
                "last_error": {"at_ms": 1_000, "text": "a page failed"},
                "fatal": null,
            },
        });
        let text = Table::of(&status);
        assert!(text.contains("NOT CONNECTED, confirmed -, - ms behind: no slot"), "{text}");
        assert!(text.contains("12,345 waiting"), "{text}");
        assert!(text.contains("comparing  3 documents compared, 1 found behind"), "{text}");
        assert!(
            text.contains("trouble    1970-01-01T00:00:01Z, the last: a page failed") && !text.contains("FATAL"),
            "{text}"
        );
    }
}
