//! `millstream status`: the status of the process of this data folder, as a table or as JSON.

use crate::{
    config::Config,
    control::{
        self,
        protocol::{
            LaneStatus, LastError, ProjectorStatus, ReplayState, ReplayStatus, RunningStatus, Section, SourceStatus,
            StatusReport,
        },
    },
    exit::Exit,
    failure::{Failure, Outcome},
    text::{grouped, moment},
};
use std::{fmt::Write as _, io::Write};

/// Prints the status as a table, or as JSON.
pub async fn run(json: bool, config: &Config, out: &mut (dyn Write + Send)) -> Outcome {
    let status = control::status(&config.data_dir).await?;
    let text =
        if json { serde_json::to_string_pretty(&status).map_err(Failure::failed)? + "\n" } else { Table::of(&status) };
    out.write_all(text.as_bytes()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}

/// The status for people, one line per stage and lane. A missing value is shown as `-`.
#[derive(Default)]
struct Table {
    text: String,
}

/// Adds a row with a name and a formatted line.
macro_rules! row {
    ($table:expr, $name:expr, $($line:tt)*) => {
        // Writing to a string cannot fail.
        _ = writeln!($table.text, "{:<10} {}", $name, format_args!($($line)*))
    };
}

impl Table {
    fn of(status: &StatusReport) -> String {
        let mut table = Self::default();
        let uptime_ms = number(status.running.as_ref().map(|process| process.uptime_ms));
        let StatusReport { pid, version, state, .. } = status;
        row!(table, "process", "{pid}, {}, {uptime_ms} ms up, version {version}", state.name());
        if let Some(process) = &status.running {
            table.process(process);
        }
        table.text
    }

    fn process(&mut self, process: &RunningStatus) {
        row!(self, "api", "{}", process.address);
        row!(self, "schema", "{}", process.effective_schema_hash);
        let database = &process.database;
        row!(
            self,
            "database",
            "{}, {} of {} connections, {} idle, {} waiting, newest version {}",
            database.address,
            grouped(database.connections),
            grouped(database.connections_max),
            grouped(database.connections_idle),
            grouped(database.waiting),
            number(database.newest_version.and_then(|version| u64::try_from(version).ok()))
        );
        match &process.projector {
            Some(Section::Read(projector)) => self.projector(projector),
            Some(Section::Failed { error }) => row!(self, "projector", "{error}"),
            None => row!(self, "projector", "-"),
        }
        self.replay("replay", process.replay.as_ref());
        match &process.lanes {
            Section::Read(lanes) => lanes.iter().for_each(|lane| self.lane(lane)),
            Section::Failed { error } => row!(self, "lanes", "{error}"),
        }
        let Some(Section::Read(projector)) = &process.projector else { return };
        // The last error may be solved by now: it is shown with its time.
        if let Some(LastError { at_ms, text }) = &projector.last_error {
            row!(self, "trouble", "{}, the last: {text}", moment(*at_ms));
        }
        if let Some(fatal) = &projector.fatal {
            row!(self, "FATAL", "{fatal}");
        }
    }

    fn projector(&mut self, projector: &ProjectorStatus) {
        self.source(&projector.source);
        let (queue, rebuild, cascade) = (&projector.queue, &projector.rebuild, &projector.cascade);
        row!(
            self,
            "queue",
            "{} waiting, oldest {} ms, {} in quarantine, {} bytes on disk, {} only touched, {} put off, {} ms left",
            grouped(queue.depth),
            grouped(queue.oldest_age_ms),
            grouped(queue.quarantined),
            grouped(queue.disk_bytes),
            grouped(queue.touches),
            grouped(queue.delayed),
            number(queue.eta_ms)
        );
        row!(
            self,
            "rebuild",
            "{} stored, up to version {}, {}/s, {} in work by {} workers, {} held, {} failures, {} alarms",
            grouped(rebuild.stored),
            grouped(rebuild.version),
            grouped(rebuild.stored_per_s),
            grouped(queue.in_flight),
            grouped(rebuild.workers),
            grouped(rebuild.holds),
            grouped(rebuild.failures),
            grouped(rebuild.alarms)
        );
        row!(
            self,
            "cascades",
            "{} open, oldest {} ms, {} referrers stamped, {}/s by {} workers, {} finished, {} failures",
            grouped(cascade.open),
            grouped(cascade.oldest_age_ms),
            grouped(cascade.stamped),
            grouped(cascade.stamped_per_s),
            grouped(cascade.workers),
            grouped(cascade.finished),
            grouped(cascade.failures)
        );
        self.unreadable(queue.unreadable);
        if projector.resync.running {
            let (compared, enqueued) = (grouped(projector.resync.compared), grouped(projector.resync.enqueued));
            row!(self, "comparing", "{compared} documents compared, {enqueued} found behind");
        }
    }

    fn source(&mut self, source: &SourceStatus) {
        let (confirmed, behind_ms) = (&source.confirmed, grouped(source.behind_ms));
        if !source.connected {
            let error = source.last_error.as_deref().unwrap_or("-");
            row!(self, "source", "NOT CONNECTED, confirmed {confirmed}, {behind_ms} ms behind: {error}");
            return;
        }
        row!(
            self,
            "source",
            "connected, {} {} behind, {} changes taken in, {}/s, confirmed {confirmed} of {}, {behind_ms} ms behind, \
             {} ms left, {} failures",
            grouped(source.lag),
            source.lag_unit,
            grouped(source.changes),
            grouped(source.changes_per_s),
            source.server_position,
            number(source.eta_ms),
            grouped(source.failures)
        );
    }

    /// Reports unreadable records, if there are any.
    fn unreadable(&mut self, count: u64) {
        if count > 0 {
            row!(self, "", "{} UNREADABLE records are kept: see `millstream quarantine list`", grouped(count));
        }
    }

    fn lane(&mut self, lane: &LaneStatus) {
        row!(
            self,
            lane.name,
            "{} waiting, oldest {} ms, {} delivered, {}/s, {} ms left, {} retried, {} rejected, {} in quarantine, {} of {} \
             requests, {} put off, up to version {}",
            grouped(lane.depth),
            grouped(lane.oldest_age_ms),
            grouped(lane.delivered),
            grouped(lane.delivered_per_s),
            number(lane.eta_ms),
            grouped(lane.retried),
            grouped(lane.rejected),
            grouped(lane.quarantined),
            grouped(lane.requests),
            grouped(lane.concurrency),
            grouped(lane.delayed),
            grouped(lane.version)
        );
        self.unreadable(lane.unreadable);
        if lane.paused {
            row!(self, "", "PAUSED: `millstream sink resume {}` lets it go on", lane.name);
        }
        if let Some(fatal) = &lane.fatal {
            row!(self, "", "NOT DELIVERED TO: {fatal}");
        }
        if let Some(LastError { at_ms, text }) = &lane.last_error {
            row!(self, "", "{}, the last trouble: {text}", moment(*at_ms));
        }
        self.replay("", lane.replay.as_ref());
    }

    /// Reports a replay that runs or failed.
    fn replay(&mut self, name: &str, replay: Option<&ReplayStatus>) {
        let Some(replay) = replay else { return };
        if matches!(replay.state, ReplayState::Running | ReplayState::Failed) {
            let (done, total) = (grouped(replay.done), grouped(replay.total));
            let error = replay.last_error.as_deref().unwrap_or("-");
            row!(self, name, "replay {}: {done} of {total} documents enqueued, trouble: {error}", replay.state.name());
        }
    }
}

/// Returns a number with groups of digits; `-` without one.
fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), grouped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{ProcessPhase, QueueStatus, ResyncStatus};

    fn status(running: Option<RunningStatus>) -> StatusReport {
        let state = if running.is_some() { ProcessPhase::Running } else { ProcessPhase::StartingOrStopping };
        StatusReport { pid: 7, version: "1.2.3".to_owned(), state, running }
    }

    fn projector(projector: ProjectorStatus) -> RunningStatus {
        RunningStatus { projector: Some(Section::Read(projector)), ..RunningStatus::default() }
    }

    #[test]
    fn a_process_that_has_not_started_is_one_line() {
        assert_eq!(Table::of(&status(None)), "process    7, starting or stopping, - ms up, version 1.2.3\n");
    }

    #[test]
    fn lanes_are_shown_with_what_keeps_them() {
        let replay = ReplayStatus { state: ReplayState::Running, done: 10, total: 20, ..ReplayStatus::default() };
        let lane = LaneStatus {
            name: "kafka".to_owned(),
            depth: 1_234,
            delivered: 5,
            paused: true,
            replay: Some(replay),
            ..LaneStatus::default()
        };
        let process = RunningStatus { lanes: Section::Read(vec![lane]), ..RunningStatus::default() };
        let text = Table::of(&status(Some(process)));
        assert!(text.contains("kafka      1,234 waiting") && text.contains("PAUSED"), "{text}");
        assert!(text.contains("replay running: 10 of 20") && !text.contains("NOT DELIVERED"), "{text}");
    }

    #[test]
    fn trouble_is_shown_and_numbers_are_grouped() {
        let text = Table::of(&status(Some(projector(ProjectorStatus {
            source: SourceStatus { last_error: Some("no slot".to_owned()), ..SourceStatus::default() },
            queue: QueueStatus { depth: 12_345, ..QueueStatus::default() },
            resync: ResyncStatus { running: true, compared: 3, enqueued: 1 },
            last_error: Some(LastError { at_ms: 1_000, text: "a page failed".to_owned() }),
            ..ProjectorStatus::default()
        }))));
        assert!(text.contains("NOT CONNECTED, confirmed , 0 ms behind: no slot"), "{text}");
        assert!(text.contains("12,345 waiting"), "{text}");
        assert!(text.contains("comparing  3 documents compared, 1 found behind"), "{text}");
        assert!(
            text.contains("trouble    1970-01-01T00:00:01Z, the last: a page failed") && !text.contains("FATAL"),
            "{text}"
        );
    }
}
