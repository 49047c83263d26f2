//! Walking one line: where we are, what is in flight, and what may be taken again behind us.

use std::collections::BTreeSet;

use super::codec::{FIRST_ROW, Row};

/// How many rows behind the cursor are remembered; beyond it the cursor moves back, which costs one more walk over what
/// was removed meanwhile.
pub(super) const RETURNED_MAX: usize = 65_536;

/// The walk along one line. Every row of the line on disk is either at or after the cursor, or in flight, or returned.
#[derive(Debug)]
pub(super) struct Walk {
    cursor: Row,
    in_flight: BTreeSet<Row>,
    returned: BTreeSet<Row>,
}

impl Walk {
    /// A walk from `head`, before which the line has no rows.
    pub(super) const fn from(head: Row) -> Self {
        Self { cursor: head, in_flight: BTreeSet::new(), returned: BTreeSet::new() }
    }

    /// A row was added to the line on disk, or is not in flight any more.
    pub(super) fn add(&mut self, row: Row) {
        self.in_flight.remove(&row);
        if row >= self.cursor {
            return;
        }
        self.returned.insert(row);
        if self.returned.len() > RETURNED_MAX {
            self.cursor = self.returned.first().copied().unwrap_or(self.cursor);
            self.returned.clear();
        }
    }

    /// A row was removed from the line on disk.
    pub(super) fn remove(&mut self, row: Row) {
        self.in_flight.remove(&row);
        self.returned.remove(&row);
    }

    /// A row of the line is in flight, whether it was taken from here or moved here while it was.
    pub(super) fn fly(&mut self, row: Row) {
        self.returned.remove(&row);
        self.in_flight.insert(row);
    }

    pub(super) fn is_in_flight(&self, row: Row) -> bool {
        self.in_flight.contains(&row)
    }

    /// How many rows of the line are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The first of them.
    pub(super) fn first_in_flight(&self) -> Option<Row> {
        self.in_flight.first().copied()
    }

    /// Rows behind the cursor that may be taken, in order.
    pub(super) fn returned(&self) -> impl Iterator<Item = Row> + '_ {
        self.returned.iter().copied()
    }

    /// Where to go on walking on disk.
    pub(super) const fn cursor(&self) -> Row {
        self.cursor
    }

    /// Everything before `row` was seen.
    pub(super) fn advance(&mut self, row: Row) {
        self.cursor = self.cursor.max(row);
    }

    /// A row before which the line has none on disk: where to begin after a restart.
    pub(super) fn head(&self) -> Row {
        let firsts = [self.in_flight.first(), self.returned.first(), Some(&self.cursor)];
        firsts.into_iter().flatten().min().copied().unwrap_or(FIRST_ROW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_never_passes_a_row() {
        let mut walk = Walk::from(FIRST_ROW);
        for row in [(1, 1), (2, 2), (3, 3)] {
            walk.fly(row);
            walk.advance((row.0, row.1 + 1));
        }
        assert_eq!(walk.head(), (1, 1));
        walk.remove((1, 1));
        walk.add((2, 2));
        assert_eq!((walk.head(), walk.returned().next()), ((2, 2), Some((2, 2))));
        walk.fly((2, 2));
        walk.remove((2, 2));
        walk.remove((3, 3));
        assert_eq!(walk.head(), (3, 4));
        walk.add((1, 9));
        assert_eq!(walk.head(), (1, 9));
    }

    #[test]
    fn what_is_remembered_behind_the_cursor_is_bounded() {
        let mut walk = Walk::from((u64::MAX, 0));
        for document_id in 0..=RETURNED_MAX as i64 {
            walk.add((5, document_id));
        }
        assert_eq!((walk.returned().count(), walk.cursor()), (0, (5, 0)));
    }
}
