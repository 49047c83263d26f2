//! The walk along one line: the cursor, the rows in flight, and the rows behind the cursor that may be taken again.

use std::collections::BTreeSet;

use super::codec::{FIRST_ROW, LineRow};

/// Rows behind the cursor that are kept in memory. With more of them the cursor moves back, which costs another walk over
/// the rows removed meanwhile.
pub(super) const RETURNED_MAX: usize = 65_536;

/// The walk along one line. Every row of the line on disk is at or after the cursor, in flight, or returned.
#[derive(Debug)]
pub(super) struct LineWalk {
    cursor: LineRow,
    in_flight: BTreeSet<LineRow>,
    returned: BTreeSet<LineRow>,
}

impl LineWalk {
    /// Returns a walk from `head`, before which the line has no rows.
    pub(super) const fn from(head: LineRow) -> Self {
        Self { cursor: head, in_flight: BTreeSet::new(), returned: BTreeSet::new() }
    }

    /// Notes that a row was added to the line on disk, or is not in flight any more.
    pub(super) fn add(&mut self, row: LineRow) {
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

    /// Notes that a row was removed from the line on disk.
    pub(super) fn remove(&mut self, row: LineRow) {
        self.in_flight.remove(&row);
        self.returned.remove(&row);
    }

    /// Notes that a row of the line is in flight, whether it was taken from this line or moved to it while in flight.
    pub(super) fn fly(&mut self, row: LineRow) {
        self.returned.remove(&row);
        self.in_flight.insert(row);
    }

    pub(super) fn is_in_flight(&self, row: LineRow) -> bool {
        self.in_flight.contains(&row)
    }

    /// Counts the rows of the line that are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the first row in flight.
    pub(super) fn first_in_flight(&self) -> Option<LineRow> {
        self.in_flight.first().copied()
    }

    /// Returns rows behind the cursor that may be taken, in order.
    pub(super) fn returned(&self) -> impl Iterator<Item = LineRow> + '_ {
        self.returned.iter().copied()
    }

    /// Returns the row from which the walk continues on disk.
    pub(super) const fn cursor(&self) -> LineRow {
        self.cursor
    }

    /// Moves the cursor forward: everything before `row` was seen.
    pub(super) fn advance(&mut self, row: LineRow) {
        self.cursor = self.cursor.max(row);
    }

    /// Returns a row before which the line has none on disk: the start of the walk after a restart.
    pub(super) fn head(&self) -> LineRow {
        let firsts = [self.in_flight.first(), self.returned.first(), Some(&self.cursor)];
        firsts.into_iter().flatten().min().copied().unwrap_or(FIRST_ROW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_never_passes_a_row() {
        let mut walk = LineWalk::from(FIRST_ROW);
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
        let mut walk = LineWalk::from((u64::MAX, 0));
        for document_id in 0..=RETURNED_MAX as i64 {
            walk.add((5, document_id));
        }
        assert_eq!((walk.returned().count(), walk.cursor()), (0, (5, 0)));
    }
}
