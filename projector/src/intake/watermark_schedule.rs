//! The schedule of recovery watermarks.

/// A watermark is read before it is stored: only the second one stored after a change was read after it.
const STORES_AFTER_A_CHANGE: u32 = 2;

/// The schedule of watermarks: while changes arrive and shortly after, otherwise rarely, because storing one writes WAL
/// on a database that is otherwise idle.
#[derive(Debug)]
pub(super) struct WatermarkSchedule {
    changes: u64,
    stores_left: u32,
    stored_ms: u64,
}

impl Default for WatermarkSchedule {
    fn default() -> Self {
        Self { changes: 0, stores_left: STORES_AFTER_A_CHANGE, stored_ms: 0 }
    }
}

impl WatermarkSchedule {
    /// Whether a watermark is due, given the number of changes so far.
    pub(super) fn is_due(&mut self, changes: u64, now_ms: u64, idle_ms: u64) -> bool {
        if changes != self.changes {
            (self.changes, self.stores_left) = (changes, STORES_AFTER_A_CHANGE);
        }
        self.stores_left > 0 || now_ms.saturating_sub(self.stored_ms) >= idle_ms
    }

    /// Records that one was stored.
    pub(super) fn stored(&mut self, now_ms: u64) {
        (self.stores_left, self.stored_ms) = (self.stores_left.saturating_sub(1), now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_database_is_written_to_rarely() {
        let mut schedule = WatermarkSchedule::default();
        let stored = |schedule: &mut WatermarkSchedule, changes, now_ms| {
            let due = schedule.is_due(changes, now_ms, 300_000);
            if due {
                schedule.stored(now_ms);
            }
            due
        };
        let at_rest: Vec<bool> = (0..5).map(|n| stored(&mut schedule, 0, n * 5_000)).collect();
        assert_eq!(at_rest, [true, true, false, false, false]);
        let after_a_change: Vec<bool> = (5..8).map(|n| stored(&mut schedule, 1, n * 5_000)).collect();
        assert_eq!(after_a_change, [true, true, false]);
        assert!(stored(&mut schedule, 1, 330_000), "once per idle interval");
        assert!(schedule.is_due(2, 330_001, 300_000) && schedule.is_due(2, 360_000, 300_000), "until it is stored");
    }
}
