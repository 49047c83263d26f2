//! Cascades that are passed over for a while, because their last page failed.
//!
//! A page fails when another transaction holds the row of a referrer for too long, or because of its data. The oldest
//! cascades come first, so without this memory a few that fail would be tried again and again, and younger ones never.

use millstream_pipeline::Backoff;
use std::collections::HashMap;
use std::time::Duration;

/// A renamed document and the version of its rename.
pub(crate) type CascadeKey = (i64, i64);

/// Time for which a cascade is passed over after each failure.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), ceiling: Duration::from_secs(60) };

/// A cascade that is remembered without a new failure for this long has ended elsewhere.
const FORGOTTEN_MS: u64 = 3_600_000;

#[derive(Debug)]
struct Deferral {
    failures: u32,
    not_before_ms: u64,
}

/// The cascades of this process that failed last time.
#[derive(Debug, Default)]
pub(crate) struct DeferredCascades(HashMap<CascadeKey, Deferral>);

impl DeferredCascades {
    /// Returns the cascades to pass over now.
    pub(crate) fn at(&mut self, now_ms: u64) -> Vec<CascadeKey> {
        self.0.retain(|_, deferral| deferral.not_before_ms.saturating_add(FORGOTTEN_MS) > now_ms);
        let deferred = self.0.iter().filter(|(_, deferral)| deferral.not_before_ms > now_ms);
        deferred.map(|(key, _)| *key).collect()
    }

    /// Returns the time until the first of them may be tried again.
    pub(crate) fn next_in(&self, now_ms: u64) -> Option<Duration> {
        let next = self.0.values().map(|deferral| deferral.not_before_ms).filter(|at| *at > now_ms).min()?;
        Some(Duration::from_millis(next - now_ms))
    }

    /// Records a failed page; returns the time for which the cascade is passed over.
    pub(crate) fn failed(&mut self, cascade: CascadeKey, now_ms: u64) -> Duration {
        let deferral = self.0.entry(cascade).or_insert(Deferral { failures: 0, not_before_ms: 0 });
        deferral.failures = deferral.failures.saturating_add(1);
        let delay = BACKOFF.delay(deferral.failures);
        deferral.not_before_ms = now_ms.saturating_add(delay.as_millis() as u64);
        delay
    }

    /// Records a page that succeeded.
    pub(crate) fn succeeded(&mut self, cascade: CascadeKey) {
        self.0.remove(&cascade);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cascade_is_passed_over_for_a_growing_time_until_it_succeeds() {
        let mut deferred = DeferredCascades::default();
        assert!(deferred.at(0).is_empty());
        assert_eq!(deferred.failed((1, 10), 1_000), Duration::from_millis(500));
        assert_eq!(deferred.failed((2, 11), 1_100), Duration::from_millis(500));
        assert_eq!(deferred.next_in(1_200), Some(Duration::from_millis(300)));
        assert_eq!(deferred.at(1_550), [(2, 11)], "the first may be tried again");
        assert_eq!(deferred.failed((1, 10), 1_600), Duration::from_secs(1));
        deferred.succeeded((1, 10));
        assert_eq!(deferred.failed((1, 10), 5_000), Duration::from_millis(500));
        assert!(deferred.at(10_000_000).is_empty());
        assert_eq!(deferred.next_in(10_000_000), None);
    }
}
