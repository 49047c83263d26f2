//! Visibility waits: reading a change again until it is visible, with a deadline and an alarm
//! (docs/design/rules.md#rule-6).
//!
//! A wait is keyed by the transaction or document, not by the entries that need it. Transactions that are flushed but
//! not visible number at most `max_connections`; documents that contradict their change record should not exist. The
//! table is bounded nevertheless: beyond [`WAITS_MAX`] the youngest waits are dropped, which can only delay an alarm.

use millstream_pipeline::Backoff;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Most waits kept.
pub(crate) const WAITS_MAX: usize = 10_000;

/// One wait.
#[derive(Debug, Clone, Copy)]
struct VisibilityWait {
    since_ms: u64,
    read_ms: u64,
    reads: u32,
    alarmed: bool,
}

/// The next step for a change that is still not visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VisibilityDecision {
    /// Read again after this time.
    pub(crate) delay: Duration,
    /// Duration of the wait so far.
    pub(crate) waited: Duration,
    /// The deadline has passed, and no alarm was raised before.
    pub(crate) alarm: bool,
}

/// All waits.
#[derive(Debug)]
pub(crate) struct VisibilityWaits<K> {
    backoff: Backoff,
    deadline: Duration,
    waiting: HashMap<K, VisibilityWait>,
}

impl<K: Eq + Hash + Copy> VisibilityWaits<K> {
    /// An empty table.
    pub(crate) fn new(backoff: Backoff, deadline: Duration) -> Self {
        Self { backoff, deadline, waiting: HashMap::new() }
    }

    /// Records one more read that did not show `key`.
    pub(crate) fn still_missing(&mut self, key: K, now_ms: u64) -> VisibilityDecision {
        if self.waiting.len() >= WAITS_MAX && !self.waiting.contains_key(&key) {
            self.forget_the_youngest_half();
        }
        let wait = self.waiting.entry(key).or_insert(VisibilityWait {
            since_ms: now_ms,
            read_ms: now_ms,
            reads: 0,
            alarmed: false,
        });
        wait.read_ms = now_ms;
        wait.reads = wait.reads.saturating_add(1);
        let waited = Duration::from_millis(now_ms.saturating_sub(wait.since_ms));
        let alarm = !wait.alarmed && waited >= self.deadline;
        wait.alarmed |= alarm;
        VisibilityDecision { delay: self.backoff.delay(wait.reads), waited, alarm }
    }

    /// Removes `key`: it became visible, or its entry is settled.
    pub(crate) fn arrived(&mut self, key: &K) {
        self.waiting.remove(key);
    }

    /// Removes waits without a read for `idle`: a newer version has replaced their entries.
    pub(crate) fn expire(&mut self, now_ms: u64, idle: Duration) {
        self.waiting.retain(|_, wait| u128::from(now_ms.saturating_sub(wait.read_ms)) < idle.as_millis());
    }

    /// Number of waits.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there are no waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Keeps the old ones: alarms are about them.
    fn forget_the_youngest_half(&mut self) {
        let mut ages: Vec<u64> = self.waiting.values().map(|wait| wait.since_ms).collect();
        ages.sort_unstable();
        let median = ages[ages.len() / 2];
        self.waiting.retain(|_, wait| wait.since_ms < median);
        if self.waiting.len() >= WAITS_MAX {
            self.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits() -> VisibilityWaits<u64> {
        let backoff = Backoff { base: Duration::from_millis(2), ceiling: Duration::from_millis(250) };
        VisibilityWaits::new(backoff, Duration::from_secs(30))
    }

    #[test]
    fn alarms_once_after_the_deadline_and_waits_on() {
        let mut waits = waits();
        assert_eq!(
            waits.still_missing(7, 1_000),
            VisibilityDecision { delay: Duration::from_millis(2), waited: Duration::ZERO, alarm: false }
        );
        assert_eq!(waits.still_missing(7, 1_002).delay, Duration::from_millis(4));
        assert!(waits.still_missing(7, 31_000).alarm);
        assert!(!waits.still_missing(7, 31_250).alarm, "one alarm per wait");
        waits.arrived(&7);
        assert!(waits.is_empty());
    }

    #[test]
    fn a_wait_without_reads_expires() {
        let mut waits = waits();
        waits.still_missing(1, 0);
        waits.still_missing(2, 0);
        waits.still_missing(2, 59_999);
        waits.expire(60_000, Duration::from_secs(60));
        assert_eq!(waits.len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_the_old_waits_are_kept() {
        let mut waits = waits();
        for key in 0..3 * WAITS_MAX as u64 {
            waits.still_missing(key, key);
            assert!(waits.len() <= WAITS_MAX);
        }
        assert!(waits.still_missing(0, 60_000).alarm, "the oldest wait was kept");
    }
}
