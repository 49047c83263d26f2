//! Reproducible random choices: a small generator whose seed every test prints.

use std::time::Duration;

/// SplitMix64 generator.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts with the seed in `MILLSTREAM_SEED`, or with a new one; prints the seed.
    pub(crate) fn seeded(what: &str) -> Self {
        let given = std::env::var("MILLSTREAM_SEED").ok();
        let seed = match given {
            Some(text) => text.parse().unwrap_or_else(|error| panic!("invalid MILLSTREAM_SEED {text:?}: {error}")),
            None => uuid::Uuid::new_v4().as_u64_pair().0,
        };
        super::report!("{what}: MILLSTREAM_SEED={seed}");
        Self(seed)
    }

    /// Derives an independent generator.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "nothing to choose from");
        (self.next() % end as u64) as usize
    }

    /// Returns one element.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Returns `true` with a probability of `percent` in a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Returns a duration between `from` and `to`.
    pub(crate) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from).as_micros().max(1);
        from + Duration::from_micros((u128::from(self.next()) % span) as u64)
    }
}
