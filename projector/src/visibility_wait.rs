//! Who is being waited for, and since when: the memory behind "read again, with a deadline and an alarm"
//! (docs/design/rules.md#rule-6).
//!
//! A hold is keyed by what is waited for, not by how many entries wait. Transactions that are flushed but not visible
//! number at most `max_connections`; documents that contradict their change record should not exist at all. The table
//! is bounded all the same: beyond [`WAITS_MAX`] the oldest knowledge is dropped, which costs an alarm its punctuality
//! and nothing else.

use millstream_pipeline::Backoff;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Holds remembered at most.
pub(crate) const WAITS_MAX: usize = 10_000;

/// One thing that is waited for.
#[derive(Debug, Clone, Copy)]
struct VisibilityWait {
    since_ms: u64,
    looked_ms: u64,
    looks: u32,
    alarmed: bool,
}

/// What to do about something that is still not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Look again after this time.
    pub(crate) delay: Duration,
    /// How long it has been waited for.
    pub(crate) waited: Duration,
    /// The deadline has passed, and this is the first time that it is noticed.
    pub(crate) alarm: bool,
}

/// Everything that is waited for.
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

    /// Records one more look in vain at `key`.
    pub(crate) fn still_missing(&mut self, key: K, now_ms: u64) -> Verdict {
        if self.waiting.len() >= WAITS_MAX && !self.waiting.contains_key(&key) {
            self.forget_the_youngest_half();
        }
        let hold = self.waiting.entry(key).or_insert(VisibilityWait {
            since_ms: now_ms,
            looked_ms: now_ms,
            looks: 0,
            alarmed: false,
        });
        hold.looked_ms = now_ms;
        hold.looks = hold.looks.saturating_add(1);
        let waited = Duration::from_millis(now_ms.saturating_sub(hold.since_ms));
        let alarm = !hold.alarmed && waited >= self.deadline;
        hold.alarmed |= alarm;
        Verdict { delay: self.backoff.delay(hold.looks), waited, alarm }
    }

    /// Forgets `key`: it arrived, or nothing waits for it any more.
    pub(crate) fn arrived(&mut self, key: &K) {
        self.waiting.remove(key);
    }

    /// Forgets what nobody has looked at for `idle`: its entry was replaced by a newer one.
    pub(crate) fn expire(&mut self, now_ms: u64, idle: Duration) {
        self.waiting.retain(|_, hold| u128::from(now_ms.saturating_sub(hold.looked_ms)) < idle.as_millis());
    }

    /// Number of things waited for.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Nothing is waited for.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The old ones are those that an alarm is about.
    fn forget_the_youngest_half(&mut self) {
        let mut ages: Vec<u64> = self.waiting.values().map(|hold| hold.since_ms).collect();
        ages.sort_unstable();
        let median = ages[ages.len() / 2];
        self.waiting.retain(|_, hold| hold.since_ms < median);
        if self.waiting.len() >= WAITS_MAX {
            self.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds() -> VisibilityWaits<u64> {
        let backoff = Backoff { base: Duration::from_millis(2), ceiling: Duration::from_millis(250) };
        VisibilityWaits::new(backoff, Duration::from_secs(30))
    }

    #[test]
    fn alarms_once_after_the_deadline_and_waits_on() {
        let mut holds = holds();
        assert_eq!(
            holds.still_missing(7, 1_000),
            Verdict { delay: Duration::from_millis(2), waited: Duration::ZERO, alarm: false }
        );
        assert_eq!(holds.still_missing(7, 1_002).delay, Duration::from_millis(4));
        assert!(holds.still_missing(7, 31_000).alarm);
        assert!(!holds.still_missing(7, 31_250).alarm, "one alarm a hold");
        holds.arrived(&7);
        assert!(holds.is_empty());
    }

    #[test]
    fn what_nobody_asks_about_any_more_is_forgotten() {
        let mut holds = holds();
        holds.still_missing(1, 0);
        holds.still_missing(2, 0);
        holds.still_missing(2, 59_999);
        holds.expire(60_000, Duration::from_secs(60));
        assert_eq!(holds.len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_the_old_holds_are_kept() {
        let mut holds = holds();
        for key in 0..3 * WAITS_MAX as u64 {
            holds.still_missing(key, key);
            assert!(holds.len() <= WAITS_MAX);
        }
        assert!(holds.still_missing(0, 60_000).alarm, "the oldest hold was remembered");
    }
}
