//! Settings of the watchdog.

use std::time::Duration;

/// The reaction to a confirmed mismatch. All of them record an incident, log it and count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnMismatch {
    /// Repair it.
    Repair,
    /// Nothing more.
    #[default]
    Alert,
    /// Report the process as not ready until it is mended.
    Unhealthy,
}

/// Settings of the watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchdogOptions {
    /// Documents per second; `None` for the rate of [`WatchdogOptions::pass`].
    pub documents_per_s: Option<u32>,
    /// Time for one pass over all documents.
    pub pass: Duration,
    /// The reaction to a mismatch.
    pub on_mismatch: OnMismatch,
    /// Documents per round.
    pub batch: u32,
    /// Longest time of one statement.
    pub statement_timeout: Duration,
    /// Longest wait for the pipeline to catch up before the second look; longer pending work is not judged.
    pub catch_up: Duration,
    /// Pause between two looks at mismatches that are not mended.
    pub recheck: Duration,
}

impl Default for WatchdogOptions {
    fn default() -> Self {
        Self {
            documents_per_s: None,
            pass: Duration::from_secs(7 * 24 * 3_600),
            on_mismatch: OnMismatch::Alert,
            batch: 20,
            statement_timeout: Duration::from_secs(10),
            catch_up: Duration::from_secs(30),
            recheck: Duration::from_secs(60),
        }
    }
}

impl WatchdogOptions {
    /// The pause after a round over `checked` documents of about `total`, so that the rate is kept.
    pub(super) fn pause(&self, checked: usize, total: i64) -> Duration {
        /// Longest pause: a new document of a small database is looked at within minutes.
        const PAUSE_MAX: Duration = Duration::from_secs(300);
        /// Shortest pause.
        const PAUSE_MIN: Duration = Duration::from_millis(20);
        let seconds = match self.documents_per_s {
            Some(rate) => checked.max(1) as f64 / f64::from(rate.max(1)),
            None => self.pass.as_secs_f64() * checked.max(1) as f64 / total.max(1) as f64,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(PAUSE_MAX).clamp(PAUSE_MIN, PAUSE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_keeps_the_rate_or_the_length_of_a_pass() {
        let week = WatchdogOptions::default();
        assert_eq!(week.pause(20, 604_800), Duration::from_secs(20));
        assert_eq!(week.pause(20, 0), Duration::from_secs(300), "a small database is not left alone for a week");
        let fast = WatchdogOptions { documents_per_s: Some(10), ..week };
        assert_eq!(fast.pause(20, 604_800), Duration::from_secs(2));
    }
}
