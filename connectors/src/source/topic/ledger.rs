//! The mapping between positions and offsets.
//!
//! A position has to fit into two numbers and to grow with every event, but the true state is one offset per partition.
//! So the position is the sum of the next offsets, and the ledger keeps the offsets of every delivered position until
//! it is confirmed. After a restart the source reads the offsets that were committed for the group:
//!
//! * committed sum = stored position: the source continues exactly there.
//! * committed sum < stored position: the process ended between the two writes. Records come again, possibly in another
//!   order of the partitions, so their sums are not positions yet. Until the sum has passed the stored position `S`,
//!   events get the positions `S:1`, `S:2`, and so on.
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

    /// Returns the number of records before them since the topic was created. Offsets are never negative.
    pub(super) fn sum(&self) -> u64 {
        self.0.values().map(|next| next.cast_unsigned()).fold(0, u64::saturating_add)
    }

    /// Returns whether every partition here is at least as far in `other`.
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

/// Maximum number of unconfirmed positions. Beyond it the ledger drops every second entry: a consumer that never
/// confirms makes confirmations coarser, not the ledger larger.
const ENTRIES_MAX: usize = 4_096;

/// Delivered positions until they are confirmed and committed.
#[derive(Debug)]
pub(super) struct Ledger {
    stored: Position,
    /// Events delivered while the sum had not passed the stored position.
    repeated: u64,
    /// Delivered and not confirmed, in order.
    unconfirmed: VecDeque<(Position, Offsets)>,
    /// Confirmed and not known to be committed, in order.
    uncommitted: VecDeque<(Position, Offsets)>,
    committed: Offsets,
}

impl Ledger {
    /// Creates a ledger that begins at the stored position.
    pub(super) fn new(stored: Position) -> Self {
        Self {
            stored,
            repeated: 0,
            unconfirmed: VecDeque::new(),
            uncommitted: VecDeque::new(),
            committed: Offsets::default(),
        }
    }

    /// Returns the position of an event that brings its consumer to these offsets.
    pub(super) fn deliver(&mut self, next: &Offsets) -> Position {
        let sum = Position::before(next.sum());
        let position = if sum > self.stored {
            sum
        } else {
            self.repeated += 1;
            Position::within(self.stored.lsn, self.stored.ordinal.saturating_add(self.repeated))
        };
        if self.unconfirmed.len() >= ENTRIES_MAX {
            let mut keep = false;
            self.unconfirmed.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.unconfirmed.push_back((position, next.clone()));
        position
    }

    /// Confirms everything up to `position`. Returns the offsets that may be committed now, if they are new.
    pub(super) fn confirm(&mut self, position: Position) -> Option<Offsets> {
        let safe = self.unconfirmed.iter().take_while(|(delivered, _)| *delivered <= position).count();
        let last = self.unconfirmed.drain(..safe).next_back()?;
        self.uncommitted.push_back(last.clone());
        Some(last.1)
    }

    /// Returns the offsets of the last confirmation that is not committed.
    pub(super) fn last_confirmed(&self) -> Option<&Offsets> {
        self.uncommitted.back().map(|(_, offsets)| offsets)
    }

    /// Records that the brokers have stored these offsets. Returns the position that is committed by now, if it is new.
    pub(super) fn committed(&mut self, offsets: &Offsets) -> Option<Position> {
        self.committed.merge(offsets);
        let known = self.uncommitted.iter().take_while(|(_, offsets)| offsets.is_covered_by(&self.committed)).count();
        self.uncommitted.drain(..known).next_back().map(|(position, _)| position)
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
        assert_eq!(ledger.deliver(&offsets(&[6])), Position::before(6));
        assert_eq!(ledger.deliver(&offsets(&[9])), Position::before(9));
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
        assert_eq!(ledger.deliver(&offsets(&[4, 3])), Position::within(10, 1));
        assert_eq!(ledger.deliver(&offsets(&[4, 6])), Position::within(10, 2), "as far in sum, elsewhere in truth");
        assert_eq!(ledger.deliver(&offsets(&[5, 6])), Position::before(11));
        assert_eq!(ledger.confirm(Position::within(10, 1)), Some(offsets(&[4, 3])));
        let mut again = Ledger::new(Position::within(10, 1));
        assert_eq!(again.deliver(&offsets(&[4, 4])), Position::within(10, 2));
    }

    #[test]
    fn a_consumer_that_never_confirms_costs_no_memory() {
        let mut ledger = Ledger::new(Position::ZERO);
        for next in 1..=100_000 {
            ledger.deliver(&offsets(&[next]));
        }
        assert!(ledger.unconfirmed.len() <= ENTRIES_MAX);
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
            let mut delivered = Vec::new();
            for (partition, records, confirms) in steps {
                let partition = (partition % start.len()) as i32;
                next.set(partition, next.get(partition).unwrap_or(0) + records);
                let position = ledger.deliver(&next);
                prop_assert!(position > last);
                last = position;
                delivered.push((position, next.clone()));
                if confirms {
                    let middle = delivered[delivered.len() / 2].clone();
                    if let Some(offsets) = ledger.confirm(middle.0) {
                        prop_assert_eq!(offsets, middle.1);
                    }
                }
            }
        }
    }
}
