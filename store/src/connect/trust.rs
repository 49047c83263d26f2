//! Which sessions of a pool may be used without asking the server.
//!
//! A server that vanishes without a word takes all its sessions with it, and each would cost one caller a timeout. So when
//! a statement of one session is lost or abandoned, the others are asked before their next use; and when one of them does
//! not answer, those that have not answered since are closed.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A session that was not used for this long is asked before it is used again.
pub(super) const UNUSED_MAX: Duration = Duration::from_secs(10);
/// Longest answer of a session that is asked.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The times that decide about the sessions of one pool.
#[derive(Debug)]
pub(super) struct Trust {
    doubted_at: Mutex<Instant>,
    condemned_at: Mutex<Instant>,
}

/// The treatment of a session before its next use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Use,
    Ask,
    Close,
}

impl Trust {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { doubted_at: Mutex::new(now), condemned_at: Mutex::new(now) }
    }

    /// A statement of a session was lost or abandoned.
    pub(super) fn doubt(&self) {
        *self.doubted_at.lock() = Instant::now();
    }

    /// A session did not answer a question that was asked at this time.
    pub(super) fn condemn(&self, asked_at: Instant) {
        let mut condemned_at = self.condemned_at.lock();
        *condemned_at = asked_at.max(*condemned_at);
    }

    /// Judges a session by the time of its last proof, when it was opened or answered a question.
    pub(super) fn judge(&self, proven_at: Instant, unused: Duration) -> Verdict {
        if proven_at < *self.condemned_at.lock() {
            Verdict::Close
        } else if proven_at < *self.doubted_at.lock() || unused > UNUSED_MAX {
            Verdict::Ask
        } else {
            Verdict::Use
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lost_statement_makes_the_others_be_asked_and_a_silent_one_closes_them() {
        let step = || tokio::time::advance(Duration::from_secs(1));
        let trust = Trust::new();
        let old = Instant::now();
        assert_eq!(trust.judge(old, Duration::ZERO), Verdict::Use);
        assert_eq!(trust.judge(old, UNUSED_MAX * 2), Verdict::Ask);
        step().await;
        trust.doubt();
        assert_eq!(trust.judge(old, Duration::ZERO), Verdict::Ask);
        step().await;
        let asked_at = Instant::now();
        assert_eq!(trust.judge(asked_at, Duration::ZERO), Verdict::Use, "it was opened after the loss");
        trust.condemn(asked_at);
        assert_eq!(trust.judge(old, Duration::ZERO), Verdict::Close);
        step().await;
        assert_eq!(trust.judge(Instant::now(), Duration::ZERO), Verdict::Use);
    }
}
