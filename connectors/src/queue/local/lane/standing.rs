//! What a lane can say of itself: whether there is work, how much, and what stands in quarantine.

use super::{Lane, Readiness, next};
use crate::queue::local::codec::{self, FIRST_ROW, Row, STAGE};
use crate::queue::local::disk::{Disk, storage};
use millstream_pipeline::queue::entry::Line;
use millstream_pipeline::queue::{Quarantined, QueueError, QueueStats};

/// Of delayed entries, at most this many are looked at for the oldest age; with more of them it is not known.
const DELAYED_LOOKED_AT: usize = 1_000;

impl Lane {
    /// Whether there is something to take, or when there will be; everything has to be committed.
    pub(in crate::queue::local) fn readiness(&self, disk: &Disk, now_ms: u64) -> Result<Readiness, QueueError> {
        let waiting = |line: Line| !self.paused && self.waiting(line) > 0;
        if waiting(Line::Direct) || waiting(Line::Touch) {
            return Ok(Readiness { now: true, due_ms: None });
        }
        let due_ms =
            if waiting(Line::Delayed) { self.first_waiting(disk, Line::Delayed)?.map(|row| row.0) } else { None };
        Ok(Readiness { now: due_ms.is_some_and(|due_ms| due_ms <= now_ms), due_ms })
    }

    /// How many entries of a line are not in flight.
    fn waiting(&self, line: Line) -> u64 {
        self.book.counts[codec::number(line)].saturating_sub(self.walks[codec::number(line)].in_flight() as u64)
    }

    fn first_waiting(&self, disk: &Disk, line: Line) -> Result<Option<Row>, QueueError> {
        let walk = &self.walks[codec::number(line)];
        if let Some(row) = walk.returned().next() {
            return Ok(Some(row));
        }
        for guard in disk.rows(self.number, line, walk.cursor()) {
            let row = codec::order_row(&guard.key().map_err(storage("reading"))?)?;
            if !walk.is_in_flight(row) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// How much there is; everything has to be committed.
    pub(in crate::queue::local) fn stats(&self, disk: &Disk, now_ms: u64) -> Result<QueueStats, QueueError> {
        let count = |line: Line| self.book.counts[codec::number(line)];
        let mut oldest_ms = now_ms;
        for line in [Line::Direct, Line::Touch] {
            let firsts = [self.first_waiting(disk, line)?, self.walks[codec::number(line)].first_in_flight()];
            for (first_enqueued_at_ms, _) in firsts.into_iter().flatten() {
                oldest_ms = oldest_ms.min(first_enqueued_at_ms);
            }
        }
        let delayed = disk.rows(self.number, Line::Delayed, self.walks[codec::number(Line::Delayed)].head());
        for guard in delayed.take(DELAYED_LOOKED_AT) {
            let (_, document_id) = codec::order_row(&guard.key().map_err(storage("reading"))?)?;
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
            ages_unknown: count(Line::Delayed) > DELAYED_LOOKED_AT as u64,
            disk_bytes: if self.number == STAGE { disk.bytes()? } else { 0 },
        })
    }

    /// Entries in quarantine; everything has to be committed.
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
            let (_, document_id) = codec::order_row(&guard.key().map_err(storage("reading"))?)?;
            listed.push(self.load(disk, document_id)?.ok_or_else(|| self.missing(document_id))?.into());
        }
        Ok(listed)
    }
}
