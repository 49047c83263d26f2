//! When has a running process caught up: everything that was committed is taken in, and all that follows from it is done?
//!
//! One look is not enough. A change that was committed a moment ago may not have arrived yet, and a cascade that has just
//! finished may have stamped documents whose change records have not arrived either. So: a look at which nothing waits,
//! with the position of the write-ahead log read after it; then the source has to reach that position; then, at a later
//! look, nothing may wait again.

use millstream_pipeline::Position;
use serde_json::Value;

/// Judges a sequence of statuses.
#[derive(Debug, Default)]
pub struct CatchUp {
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    /// Until nothing waits.
    #[default]
    Quiet,
    /// Until the source has come here.
    Reaches(Position),
    /// Until the next look, at which nothing may wait.
    Again,
}

impl CatchUp {
    /// Takes the next status; true when the process has caught up with everything committed before the first one.
    pub fn is_done(&mut self, status: &Value) -> bool {
        let is_quiet = is_quiet(status);
        match self.stage {
            Stage::Quiet if is_quiet => {
                if let Some(position) = position(status, "/database/wal_position") {
                    self.stage = Stage::Reaches(position);
                }
            }
            Stage::Reaches(target) if position(status, "/projector/source/durable") >= Some(target) => {
                self.stage = Stage::Again;
            }
            Stage::Again if is_quiet => return true,
            Stage::Again => self.stage = Stage::Quiet,
            Stage::Quiet | Stage::Reaches(_) => {}
        }
        false
    }
}

fn position(status: &Value, path: &str) -> Option<Position> {
    status.pointer(path)?.as_str()?.parse().ok()
}

/// No entry, no cascade and no comparison waits.
fn is_quiet(status: &Value) -> bool {
    let zero = |path: &str| status.pointer(path).and_then(Value::as_u64) == Some(0);
    let comparing = status.pointer("/projector/resync/running").and_then(Value::as_bool) != Some(false);
    !comparing && zero("/projector/queue/depth") && zero("/projector/cascade/open")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(depth: u64, open: u64, wal: &str, durable: &str) -> Value {
        json!({
            "database": {"wal_position": wal},
            "projector": {
                "source": {"durable": durable},
                "queue": {"depth": depth},
                "cascade": {"open": open},
                "resync": {"running": false},
            },
        })
    }

    fn judge(statuses: &[Value]) -> Vec<bool> {
        let mut judge = CatchUp::default();
        statuses.iter().map(|status| judge.is_done(status)).collect()
    }

    #[test]
    fn an_empty_queue_alone_is_not_enough() {
        let looks = [status(0, 0, "0/20", "0/10:0"), status(0, 0, "0/20", "0/10:0"), status(0, 0, "0/20", "0/20:0")];
        assert_eq!(judge(&looks), [false, false, false], "the third look may show a depth from before the arrival");
        let then = [looks.to_vec(), vec![status(0, 0, "0/30", "0/20:0")]].concat();
        assert_eq!(judge(&then), [false, false, false, true]);
    }

    #[test]
    fn what_arrived_meanwhile_starts_it_over() {
        let looks = [
            status(0, 0, "0/20", "0/10:0"),
            status(0, 0, "0/20", "0/20:0"),
            status(3, 0, "0/20", "0/20:0"),
            status(0, 0, "0/40", "0/40:0"),
            status(0, 0, "0/40", "0/40:0"),
            status(0, 0, "0/40", "0/40:0"),
        ];
        assert_eq!(judge(&looks), [false, false, false, false, false, true]);
    }

    #[test]
    fn an_open_cascade_or_a_silent_database_is_waited_for() {
        assert_eq!(judge(&vec![status(0, 1, "0/20", "0/20:0"); 5]), [false; 5]);
        assert_eq!(judge(&vec![json!({"projector": {"queue": {"depth": 0}}}); 5]), [false; 5]);
    }
}
