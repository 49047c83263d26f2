//! Queries of a lane: readiness, counts, quarantine. Nothing may be staged when they are made.

use millstream_pipeline::queue::entry::Line;
use millstream_pipeline::queue::{Quarantined, QueueError, QueueStats};

use super::{Lane, Readiness, next};
use crate::queue::local::codec::{self, CACHE_QUEUE, FIRST_ROW, LineRow};
use crate::queue::local::disk::{Disk, StoreResultExt};

/// Delayed entries that are examined for the oldest age. With more of them the oldest age is unknown.
const DELAYED_EXAMINED: usize = 1_000;

impl Lane {
    /// Returns whether there is something to take, or when there will be.
    pub(in crate::queue::local) fn readiness(&self, disk: &Disk, now_ms: u64) -> Result<Readiness, QueueError> {
        let waiting = |line: Line| !self.paused && self.waiting(line) > 0;
        if waiting(Line::Direct) || waiting(Line::Touch) {
            return Ok(Readiness { now: true, due_ms: None });
        }
        let due_ms =
            if waiting(Line::Delayed) { self.first_waiting(disk, Line::Delayed)?.map(|row| row.0) } else { None };
        Ok(Readiness { now: due_ms.is_some_and(|due_ms| due_ms <= now_ms), due_ms })
    }

    /// Counts the entries of a line that are not in flight.
    fn waiting(&self, line: Line) -> u64 {
        self.summary.counts[codec::number(line)].saturating_sub(self.walks[codec::number(line)].in_flight() as u64)
    }

    fn first_waiting(&self, disk: &Disk, line: Line) -> Result<Option<LineRow>, QueueError> {
        let walk = &self.walks[codec::number(line)];
        if let Some(row) = walk.returned().next() {
            return Ok(Some(row));
        }
        for guard in disk.rows(self.number, line, walk.cursor()) {
            let row = codec::order_row(&guard.key().during("reading")?)?;
            if !walk.is_in_flight(row) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Counts the entries.
    pub(in crate::queue::local) fn stats(&self, disk: &Disk, now_ms: u64) -> Result<QueueStats, QueueError> {
        let count = |line: Line| self.summary.counts[codec::number(line)];
        let mut oldest_ms = now_ms;
        for line in [Line::Direct, Line::Touch] {
            let firsts = [self.first_waiting(disk, line)?, self.walks[codec::number(line)].first_in_flight()];
            for (first_enqueued_at_ms, _) in firsts.into_iter().flatten() {
                oldest_ms = oldest_ms.min(first_enqueued_at_ms);
            }
        }
        let delayed = disk.rows(self.number, Line::Delayed, self.walks[codec::number(Line::Delayed)].head());
        for guard in delayed.take(DELAYED_EXAMINED) {
            let (_, document_id) = codec::order_row(&guard.key().during("reading")?)?;
            let entry = self.load(disk, document_id)?.ok_or_else(|| self.missing(document_id))?;
            oldest_ms = oldest_ms.min(entry.work.first_enqueued_at_ms);
        }
        Ok(QueueStats {
            depth: count(Line::Direct) + count(Line::Touch) + count(Line::Delayed),
            touches: count(Line::Touch),
            in_flight: self.in_flight.len() as u64,
            delayed: count(Line::Delayed),
            quarantined: count(Line::Quarantine),
            unreadable: 0,
            oldest_age_ms: now_ms.saturating_sub(oldest_ms),
            ages_unknown: count(Line::Delayed) > DELAYED_EXAMINED as u64,
            disk_bytes: if self.number == CACHE_QUEUE { disk.bytes()? } else { 0 },
        })
    }

    /// Lists entries in quarantine, from after the document `after` on.
    pub(in crate::queue::local) fn quarantined(
        &self,
        disk: &Disk,
        after: Option<i64>,
        max: usize,
    ) -> Result<Vec<Quarantined>, QueueError> {
        let from = match after {
            None => FIRST_ROW,
            Some(after) => next((0, after)),
        };
        let mut listed = Vec::new();
        for guard in disk.rows(self.number, Line::Quarantine, from).take(max) {
            let (_, document_id) = codec::order_row(&guard.key().during("reading")?)?;
            listed.push(self.load(disk, document_id)?.ok_or_else(|| self.missing(document_id))?.into());
        }
        Ok(listed)
    }
}
