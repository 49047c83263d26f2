//! Which offsets a position stands for.
//!
//! A position has to fit into two numbers and to grow with every event, while the truth is an offset for each partition.
//! So it is the sum of the next offsets, and the ledger remembers the offsets of the positions that were handed out until
//! they are confirmed. After a restart they are read from what was committed for the group:
//!
//! * committed sum = stored position: it goes on exactly there.
//! * committed sum < stored position: the process ended between the two. Records come again, perhaps in another order of
//!   the partitions, so that their sums mean nothing yet. Until the sum has passed the stored position, positions are
//!   counted within it: `S:1`, `S:2`, and so on.
//! * committed sum > stored position: the queue lost its end. That is a gap (`open`).

use std::collections::{BTreeMap, VecDeque};

use millstream_pipeline::Position;

/// Next offsets by partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offsets(BTreeMap<i32, i64>);

impl Offsets {
    pub(super) fn get(&self, partition: i32) -> Option<i64> {
        self.0.get(&partition).copied()
    }

    pub(super) fn set(&mut self, partition: i32, next: i64) {
        self.0.insert(partition, next);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i32, i64)> {
        self.0.iter().map(|(partition, next)| (*partition, *next))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many records lie before them, counting from the first that the topic ever had. Offsets are never negative.
    pub(super) fn sum(&self) -> u64 {
        self.0.values().map(|next| next.cast_unsigned()).fold(0, u64::saturating_add)
    }

    /// Whether every partition here is at least as far there.
    fn is_covered_by(&self, other: &Self) -> bool {
        self.0.iter().all(|(partition, next)| other.get(*partition).is_some_and(|other| other >= *next))
    }

    fn merge(&mut self, other: &Self) {
        self.0.extend(other.iter());
    }
}

impl FromIterator<(i32, i64)> for Offsets {
    fn from_iter<I: IntoIterator<Item = (i32, i64)>>(offsets: I) -> Self {
        Self(offsets.into_iter().collect())
    }
}

/// How many positions are remembered with their offsets. A consumer that never confirms makes the memory coarser, not
/// larger.
const ENTRIES_MAX: usize = 4_096;

/// The positions that were handed out, and what became of them.
#[derive(Debug)]
pub(super) struct Ledger {
    stored: Position,
    /// Events that were handed out while the sum had not passed the stored position.
    repeated: u64,
    /// Handed out, not confirmed: in order.
    open: VecDeque<(Position, Offsets)>,
    /// Confirmed, not known to be committed: in order.
    told: VecDeque<(Position, Offsets)>,
    committed: Offsets,
}

impl Ledger {
    /// A ledger that begins at the stored position.
    pub(super) fn new(stored: Position) -> Self {
        Self { stored, repeated: 0, open: VecDeque::new(), told: VecDeque::new(), committed: Offsets::default() }
    }

    /// The position of an event that brings its consumer to these offsets.
    pub(super) fn hand_out(&mut self, next: &Offsets) -> Position {
        let sum = Position::before(next.sum());
        let position = if sum > self.stored {
            sum
        } else {
            self.repeated += 1;
            Position::within(self.stored.lsn, self.stored.ordinal.saturating_add(self.repeated))
        };
        if self.open.len() >= ENTRIES_MAX {
            let mut keep = false;
            self.open.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.open.push_back((position, next.clone()));
        position
    }

    /// Everything up to `position` is safe: the offsets that may be committed for it, if it says anything new.
    pub(super) fn confirm(&mut self, position: Position) -> Option<Offsets> {
        let safe = self.open.iter().take_while(|(handed_out, _)| *handed_out <= position).count();
        let last = self.open.drain(..safe).next_back()?;
        self.told.push_back(last.clone());
        Some(last.1)
    }

    /// The offsets of the last confirmation.
    pub(super) fn last_confirmed(&self) -> Option<&Offsets> {
        self.told.back().map(|(_, offsets)| offsets)
    }

    /// The brokers have stored these offsets: the position that they know to be safe, if that is a new one.
    pub(super) fn committed(&mut self, offsets: &Offsets) -> Option<Position> {
        self.committed.merge(offsets);
        let known = self.told.iter().take_while(|(_, told)| told.is_covered_by(&self.committed)).count();
        self.told.drain(..known).next_back().map(|(position, _)| position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offsets(next: &[i64]) -> Offsets {
        (0..).zip(next.iter().copied()).collect()
    }

    #[test]
    fn one_partition_is_its_own_position() {
        let mut ledger = Ledger::new(Position::before(5));
        assert_eq!(ledger.hand_out(&offsets(&[6])), Position::before(6));
        assert_eq!(ledger.hand_out(&offsets(&[9])), Position::before(9));
        assert_eq!(ledger.confirm(Position::before(5)), None);
        assert_eq!(ledger.confirm(Position::before(8)), Some(offsets(&[6])), "the last that is safe as a whole");
        assert_eq!(ledger.confirm(Position::before(8)), None, "it says nothing new");
        assert_eq!(ledger.confirm(Position::before(9)), Some(offsets(&[9])));
        assert_eq!(ledger.last_confirmed(), Some(&offsets(&[9])));
        assert_eq!(ledger.committed(&offsets(&[8])), Some(Position::before(6)));
        assert_eq!(ledger.committed(&offsets(&[9])), Some(Position::before(9)));
    }

    #[test]
    fn what_comes_again_is_counted_within_the_stored_position() {
        // Stored at 10, committed at 4: partition 1 comes first this time.
        let stored = Position::before(10);
        let mut ledger = Ledger::new(stored);
        assert_eq!(ledger.hand_out(&offsets(&[4, 3])), Position::within(10, 1));
        assert_eq!(ledger.hand_out(&offsets(&[4, 6])), Position::within(10, 2), "as far in sum, elsewhere in truth");
        assert_eq!(ledger.hand_out(&offsets(&[5, 6])), Position::before(11));
        assert_eq!(ledger.confirm(Position::within(10, 1)), Some(offsets(&[4, 3])));
        let mut again = Ledger::new(Position::within(10, 1));
        assert_eq!(again.hand_out(&offsets(&[4, 4])), Position::within(10, 2));
    }

    #[test]
    fn a_consumer_that_never_confirms_costs_no_memory() {
        let mut ledger = Ledger::new(Position::ZERO);
        for next in 1..=100_000 {
            ledger.hand_out(&offsets(&[next]));
        }
        assert!(ledger.open.len() <= ENTRIES_MAX);
        let confirmed = ledger.confirm(Position::before(50_000)).expect("offsets");
        assert!(confirmed.sum() <= 50_000);
    }

    proptest! {
        #[test]
        fn positions_grow_and_no_confirmation_is_ahead_of_them(
            start in prop::collection::vec(0_i64..50, 1..4),
            ahead in 0_u64..40,
            steps in prop::collection::vec((0_usize..4, 1_i64..5, any::<bool>()), 0..60),
        ) {
            let mut next = offsets(&start);
            let stored = Position::before(next.sum() + ahead);
            let mut ledger = Ledger::new(stored);
            let mut last = stored;
            let mut handed_out = Vec::new();
            for (partition, records, confirms) in steps {
                let partition = (partition % start.len()) as i32;
                next.set(partition, next.get(partition).unwrap_or(0) + records);
                let position = ledger.hand_out(&next);
                prop_assert!(position > last);
                last = position;
                handed_out.push((position, next.clone()));
                if confirms {
                    let middle = handed_out[handed_out.len() / 2].clone();
                    if let Some(offsets) = ledger.confirm(middle.0) {
                        prop_assert_eq!(offsets, middle.1);
                    }
                }
            }
        }
    }
}
