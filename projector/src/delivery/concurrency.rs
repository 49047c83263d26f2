//! How many requests a sink is given at the same time: one more after each round that went well, half as many after one that
//! it asked to be spared.

/// The number of requests that may be under way.
#[derive(Debug)]
pub(super) struct AdaptiveConcurrency {
    allowed: usize,
    max: usize,
    /// Requests that went well since the number was changed.
    well: usize,
}

impl AdaptiveConcurrency {
    /// Begins with one request at a time and never goes beyond `max`.
    pub(super) fn new(max: usize) -> Self {
        Self { allowed: 1, max: max.max(1), well: 0 }
    }

    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    /// A request was answered as it should be.
    pub(super) fn went_well(&mut self) {
        self.well += 1;
        if self.well >= self.allowed && self.allowed < self.max {
            self.allowed += 1;
            self.well = 0;
        }
    }

    /// The sink asked for less, or did not answer in time.
    pub(super) fn was_too_much(&mut self) {
        self.allowed = (self.allowed / 2).max(1);
        self.well = 0;
    }

    /// Nothing could be reached: one request at a time finds out when that changes.
    pub(super) fn lost(&mut self) {
        self.allowed = 1;
        self.well = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_one_a_round_and_halves_at_once() {
        let mut pace = AdaptiveConcurrency::new(8);
        let grown: Vec<usize> = (0..12)
            .map(|_| {
                pace.went_well();
                pace.allowed()
            })
            .collect();
        assert_eq!(grown, [2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5]);
        pace.was_too_much();
        assert_eq!(pace.allowed(), 2);
        pace.was_too_much();
        pace.was_too_much();
        assert_eq!(pace.allowed(), 1, "never none: somebody has to notice when it is over");
        (0..100).for_each(|_| pace.went_well());
        assert_eq!(pace.allowed(), 8);
        pace.lost();
        assert_eq!(pace.allowed(), 1);
    }
}
