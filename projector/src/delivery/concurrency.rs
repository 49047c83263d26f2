//! Additive increase, multiplicative decrease (AIMD) of the requests in flight to a sink: one more after each round of
//! successes, half as many after throttling or a timeout.

/// The limit of concurrent requests.
#[derive(Debug)]
pub(super) struct AdaptiveConcurrency {
    allowed: usize,
    max: usize,
    /// Successes since the limit was changed.
    successes: usize,
}

impl AdaptiveConcurrency {
    /// Starts with one request at a time and never exceeds `max`.
    pub(super) fn new(max: usize) -> Self {
        Self { allowed: 1, max: max.max(1), successes: 0 }
    }

    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    /// Records a success.
    pub(super) fn succeeded(&mut self) {
        self.successes += 1;
        if self.successes >= self.allowed && self.allowed < self.max {
            self.allowed += 1;
            self.successes = 0;
        }
    }

    /// Records that the sink throttled, or did not answer in time.
    pub(super) fn overloaded(&mut self) {
        self.allowed = (self.allowed / 2).max(1);
        self.successes = 0;
    }

    /// Records that the sink is unreachable: one request at a time probes it.
    pub(super) fn unreachable(&mut self) {
        self.allowed = 1;
        self.successes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_one_per_round_and_halves_at_once() {
        let mut concurrency = AdaptiveConcurrency::new(8);
        let grown: Vec<usize> = (0..12)
            .map(|_| {
                concurrency.succeeded();
                concurrency.allowed()
            })
            .collect();
        assert_eq!(grown, [2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5]);
        concurrency.overloaded();
        assert_eq!(concurrency.allowed(), 2);
        concurrency.overloaded();
        concurrency.overloaded();
        assert_eq!(concurrency.allowed(), 1, "never 0: a request has to probe the sink");
        (0..100).for_each(|_| concurrency.succeeded());
        assert_eq!(concurrency.allowed(), 8);
        concurrency.unreachable();
        assert_eq!(concurrency.allowed(), 1);
    }
}
