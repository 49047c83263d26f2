//! Exponential delays between attempts. Pure arithmetic: the caller waits, on its own clock.

use std::time::Duration;

/// A delay that doubles from `base` up to `ceiling`.
///
/// ```
/// use millstream_pipeline::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff { base: Duration::from_millis(5), ceiling: Duration::from_secs(1) };
/// assert_eq!(backoff.delay(3), Duration::from_millis(20));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Delay after the first failure.
    pub base: Duration,
    /// Maximum delay.
    pub ceiling: Duration,
}

impl Backoff {
    /// Between attempts to reach a server: 100 ms to 10 s.
    pub const RECONNECT: Self = Self { base: Duration::from_millis(100), ceiling: Duration::from_secs(10) };

    /// Returns the delay after failure number `failures` (1 = the first). Never overflows, never exceeds the ceiling.
    #[must_use]
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.ceiling)
    }

    /// Returns a counter of failures with this schedule.
    #[must_use]
    pub const fn attempts(self) -> Attempts {
        Attempts { backoff: self, failures: 0 }
    }
}

/// A counter of consecutive failures that gives the delay after each.
#[derive(Debug, Clone)]
pub struct Attempts {
    backoff: Backoff,
    failures: u32,
}

impl Attempts {
    /// Counts one more failure and returns the delay before the next attempt.
    pub fn fail(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.backoff.delay(self.failures)
    }

    /// Resets the count after a success.
    pub const fn succeed(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_ceiling_and_never_overflows() {
        let backoff = Backoff { base: Duration::from_millis(5), ceiling: Duration::from_secs(1) };
        let delays: Vec<u128> = (0..5).map(|n| backoff.delay(n).as_millis()).collect();
        assert_eq!(delays, [5, 5, 10, 20, 40]);
        assert_eq!(backoff.delay(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut attempts = Backoff::RECONNECT.attempts();
        let pauses: Vec<_> = (0..9).map(|_| attempts.fail()).collect();
        assert_eq!((pauses[0], pauses[8]), (Backoff::RECONNECT.base, Backoff::RECONNECT.ceiling));
        assert!(pauses.is_sorted());
        attempts.succeed();
        assert_eq!(attempts.fail(), Backoff::RECONNECT.base);
    }
}
