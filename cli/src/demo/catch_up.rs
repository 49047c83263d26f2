//! Detects that the projector has caught up: everything that was committed is processed, with all that follows from it.
//!
//! One status is not enough. A change that was committed a moment ago may not have arrived, and a cascade that has just
//! finished may have stamped documents whose change records have not arrived either. So the first status with nothing
//! pending gives a position of the write-ahead log, the source has to reach that position, and then a later status must
//! again have nothing pending.

use crate::{
    control::{self, protocol::StatusReport},
    failure::Failure,
};
use millstream_pipeline::Position;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// Longest wait for queue and cascades.
pub(super) const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(180);
/// Pause between two reads of the status.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The work of the projector until it had caught up.
pub(super) struct CaughtUp {
    /// Bodies stored since its start.
    pub(super) stored: u64,
    /// When it stored the last of them.
    pub(super) last_stored: Instant,
}

/// Waits until the projector has caught up with everything that was committed.
pub(super) async fn catch_up(data_dir: &Path) -> Result<CaughtUp, Failure> {
    let started = Instant::now();
    let mut caught = CaughtUp { stored: 0, last_stored: started };
    let mut detector = CatchUpDetector::default();
    loop {
        let status = control::status(data_dir).await?;
        let stored = status.projector().map_or(0, |projector| projector.rebuild.stored);
        if stored > caught.stored {
            caught = CaughtUp { stored, last_stored: Instant::now() };
        }
        if detector.is_done(&status) {
            return Ok(caught);
        }
        if started.elapsed() > CATCH_UP_TIMEOUT {
            let timeout_s = CATCH_UP_TIMEOUT.as_secs();
            return Err(Failure::failed(format!(
                "queue and cascades are not empty after {timeout_s} s; the status is {}",
                serde_json::to_string(&status).map_err(Failure::failed)?
            )));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Evaluates a sequence of statuses.
#[derive(Debug, Default)]
struct CatchUpDetector {
    phase: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    /// Until nothing is pending.
    #[default]
    Quiet,
    /// Until the source reaches a position.
    Reach(Position),
    /// Until the next status, in which nothing may be pending.
    QuietAgain,
}

impl CatchUpDetector {
    /// Takes the next status. Returns true when everything that was committed before the first one is processed.
    fn is_done(&mut self, status: &StatusReport) -> bool {
        let is_quiet = is_quiet(status);
        match self.phase {
            Phase::Quiet if is_quiet => {
                if let Some(position) = wal_position(status) {
                    self.phase = Phase::Reach(position);
                }
            }
            Phase::Reach(target) if durable_position(status) >= Some(target) => self.phase = Phase::QuietAgain,
            Phase::QuietAgain if is_quiet => return true,
            Phase::QuietAgain => self.phase = Phase::Quiet,
            Phase::Quiet | Phase::Reach(_) => {}
        }
        false
    }
}

fn wal_position(status: &StatusReport) -> Option<Position> {
    status.running.as_ref()?.database.wal_position.as_ref()?.parse().ok()
}

fn durable_position(status: &StatusReport) -> Option<Position> {
    status.projector()?.source.durable.parse().ok()
}

/// Whether no entry, no cascade and no resync is pending.
fn is_quiet(status: &StatusReport) -> bool {
    status
        .projector()
        .is_some_and(|projector| !projector.resync.running && projector.queue.depth == 0 && projector.cascade.open == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{
        CascadeStatus, DatabaseStatus, ProcessPhase, ProjectorStatus, QueueStatus, RunningStatus, Section, SourceStatus,
    };

    fn status(depth: u64, open: u64, wal: Option<&str>, durable: &str) -> StatusReport {
        let projector = ProjectorStatus {
            source: SourceStatus { durable: durable.to_owned(), ..SourceStatus::default() },
            queue: QueueStatus { depth, ..QueueStatus::default() },
            cascade: CascadeStatus { open, ..CascadeStatus::default() },
            ..ProjectorStatus::default()
        };
        let running = RunningStatus {
            database: DatabaseStatus { wal_position: wal.map(str::to_owned), ..DatabaseStatus::default() },
            projector: Some(Section::Read(projector)),
            ..RunningStatus::default()
        };
        StatusReport { pid: 1, version: String::new(), state: ProcessPhase::Running, running: Some(running) }
    }

    fn evaluate(statuses: &[StatusReport]) -> Vec<bool> {
        let mut detector = CatchUpDetector::default();
        statuses.iter().map(|status| detector.is_done(status)).collect()
    }

    #[test]
    fn an_empty_queue_alone_is_not_enough() {
        let looks = [
            status(0, 0, Some("0/20"), "0/10:0"),
            status(0, 0, Some("0/20"), "0/10:0"),
            status(0, 0, Some("0/20"), "0/20:0"),
        ];
        assert_eq!(evaluate(&looks), [false, false, false], "the third look may show a depth from before the arrival");
        let then = [looks.to_vec(), vec![status(0, 0, Some("0/30"), "0/20:0")]].concat();
        assert_eq!(evaluate(&then), [false, false, false, true]);
    }

    #[test]
    fn what_arrived_meanwhile_starts_it_over() {
        let looks = [
            status(0, 0, Some("0/20"), "0/10:0"),
            status(0, 0, Some("0/20"), "0/20:0"),
            status(3, 0, Some("0/20"), "0/20:0"),
            status(0, 0, Some("0/40"), "0/40:0"),
            status(0, 0, Some("0/40"), "0/40:0"),
            status(0, 0, Some("0/40"), "0/40:0"),
        ];
        assert_eq!(evaluate(&looks), [false, false, false, false, false, true]);
    }

    #[test]
    fn an_open_cascade_or_a_silent_database_is_waited_for() {
        assert_eq!(evaluate(&vec![status(0, 1, Some("0/20"), "0/20:0"); 5]), [false; 5]);
        assert_eq!(evaluate(&vec![status(0, 0, None, "0/20:0"); 5]), [false; 5]);
    }
}
