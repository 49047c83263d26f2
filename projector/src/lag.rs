//! Lag as a time: positions give a distance, operators need an age.
//!
//! Keeps when the server reached which position, until that position is confirmed. The age of the oldest unconfirmed
//! position is the time since the server was just past the confirmed one.

use std::collections::VecDeque;

/// Most positions kept. Beyond it every other one is dropped: a long outage costs precision, not memory.
const POSITIONS_MAX: usize = 1_024;

/// Positions of the server with the times at which they were seen.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    /// Time in milliseconds and position, both ascending.
    seen: VecDeque<(u64, u64)>,
}

impl Lag {
    /// Records both positions and returns the age of the oldest unconfirmed one; 0 if all are confirmed.
    pub(crate) fn age_ms(&mut self, now_ms: u64, server: u64, confirmed: u64) -> u64 {
        while self.seen.front().is_some_and(|(_, position)| *position <= confirmed) {
            self.seen.pop_front();
        }
        if server > confirmed && self.seen.back().is_none_or(|(_, position)| *position < server) {
            self.seen.push_back((now_ms, server));
        }
        if self.seen.len() > POSITIONS_MAX {
            let mut keep = false;
            // Keeps the first one, which is the result.
            self.seen.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.seen.front().map_or(0, |(at_ms, _)| now_ms.saturating_sub(*at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unconfirmed_position_gives_the_age() {
        let mut lag = Lag::default();
        assert_eq!(lag.age_ms(1_000, 50, 50), 0);
        assert_eq!(lag.age_ms(2_000, 60, 50), 0, "seen just now");
        assert_eq!(lag.age_ms(3_000, 70, 50), 1_000);
        assert_eq!(lag.age_ms(4_000, 80, 65), 1_000, "the position seen at 3,000 is the oldest");
        assert_eq!(lag.age_ms(5_000, 80, 80), 0);
    }

    #[test]
    fn a_long_outage_is_remembered_in_bounds() {
        let mut lag = Lag::default();
        for second in 1..=10_000 {
            assert_eq!(lag.age_ms(second * 1_000, second, 0), (second - 1) * 1_000);
            assert!(lag.seen.len() <= POSITIONS_MAX, "bounded");
        }
        assert!(lag.age_ms(10_001_000, 10_001, 9_000) <= 2_000_000, "coarser, not wrong");
    }
}
