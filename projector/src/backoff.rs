//! Exponential delays, as plain arithmetic: who waits and on what clock is the caller's business.

use std::time::Duration;

/// A delay that doubles from `base` up to `ceiling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Delay after the first failure.
    pub base: Duration,
    /// No delay is longer than this.
    pub ceiling: Duration,
}

impl Backoff {
    /// The delay after failure number `failures` (1 = the first). Never overflows, never exceeds the ceiling.
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.ceiling)
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
}
