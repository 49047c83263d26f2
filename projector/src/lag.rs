//! How long a follower has been behind: positions tell bytes, an operator wants time.
//!
//! Where the server was and when is remembered for as long as it is not confirmed. The age of the oldest such mark is how
//! long ago the server was just beyond what is confirmed now.

use std::collections::VecDeque;

/// Marks kept at most; beyond it every other one is dropped, so that a long outage costs precision, not memory.
const MARKS_MAX: usize = 1_024;

/// When the server was where.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    /// Time in milliseconds and position, both ascending.
    marks: VecDeque<(u64, u64)>,
}

impl Lag {
    /// Takes note of where both are, and answers the age of the oldest position that is not confirmed; 0 if all is.
    pub(crate) fn age_ms(&mut self, now_ms: u64, server: u64, confirmed: u64) -> u64 {
        while self.marks.front().is_some_and(|(_, position)| *position <= confirmed) {
            self.marks.pop_front();
        }
        if server > confirmed && self.marks.back().is_none_or(|(_, position)| *position < server) {
            self.marks.push_back((now_ms, server));
        }
        if self.marks.len() > MARKS_MAX {
            let mut keep = false;
            // The first one stays: it is the answer.
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.marks.front().map_or(0, |(at_ms, _)| now_ms.saturating_sub(*at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unconfirmed_position_tells_the_age() {
        let mut behind = Lag::default();
        assert_eq!(behind.age_ms(1_000, 50, 50), 0);
        assert_eq!(behind.age_ms(2_000, 60, 50), 0, "it was seen just now");
        assert_eq!(behind.age_ms(3_000, 70, 50), 1_000);
        assert_eq!(behind.age_ms(4_000, 80, 65), 1_000, "what was seen at 3,000 is the oldest");
        assert_eq!(behind.age_ms(5_000, 80, 80), 0);
    }

    #[test]
    fn a_long_outage_is_remembered_in_bounds() {
        let mut behind = Lag::default();
        for second in 1..=10_000 {
            assert_eq!(behind.age_ms(second * 1_000, second, 0), (second - 1) * 1_000);
            assert!(behind.marks.len() <= MARKS_MAX, "bounded");
        }
        assert!(behind.age_ms(10_001_000, 10_001, 9_000) <= 2_000_000, "coarser, not wrong");
    }
}
