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
             {/database/connections_idle} idle, {/database/waiting} waiting",
        );
        if self.status.pointer("/projector/source").is_none() {
            return self.row("projector", "{/projector/error}");
        }
        if self.is_true("/projector/source/connected") {
            self.row(
                "source",
                "connected, {/projector/source/lag_bytes} bytes behind, {/projector/source/changes} changes taken in, \
                 {/projector/source/changes_per_s}/s, confirmed {/projector/source/confirmed}",
            );
        } else {
            self.row(
                "source",
                "NOT CONNECTED, confirmed {/projector/source/confirmed}: {/projector/source/last_error}",
            );
        }
        self.row(
            "queue",
            "{/projector/queue/depth} waiting, oldest {/projector/queue/oldest_age_ms} ms, \
             {/projector/queue/quarantined} in quarantine, {/projector/queue/disk_bytes} bytes on disk",
        );
        self.row(
            "rebuild",
            "{/projector/rebuild/stored} stored, {/projector/rebuild/stored_per_s}/s, {/projector/rebuild/holds} held, \
             {/projector/rebuild/failures} failures, {/projector/rebuild/alarms} alarms",
        );
        self.row(
            "cascades",
            "{/projector/cascade/open} open, oldest {/projector/cascade/oldest_age_ms} ms, \
             {/projector/cascade/stamped} referrers stamped, {/projector/cascade/finished} finished",
        );
        if self.is_true("/projector/resync/running") {
            self.row(
                "comparing",
                "{/projector/resync/compared} documents compared, {/projector/resync/enqueued} found behind",
            );
        }
        // What went wrong last may be long mended: it is told with its time.
        let at_ms = self.status.pointer("/projector/last_error/at_ms").and_then(Value::as_i64);
        let at = at_ms.and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
        if let Some(at) = at {
            self.row("trouble", &format!("{}, the last: {{/projector/last_error/text}}", whole_seconds(at)));
        }
        if self.status.pointer("/projector/fatal").is_some_and(Value::is_string) {
            self.row("FATAL", "{/projector/fatal}");
        }
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
        assert!(text.contains("NOT CONNECTED, confirmed -: no slot"), "{text}");
        assert!(text.contains("12,345 waiting"), "{text}");
        assert!(text.contains("comparing  3 documents compared, 1 found behind"), "{text}");
        assert!(
            text.contains("trouble    1970-01-01T00:00:01Z, the last: a page failed") && !text.contains("FATAL"),
            "{text}"
        );
    }
}
