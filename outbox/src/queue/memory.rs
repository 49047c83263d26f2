//! The queue as plainly as it can be said: the reference that other implementations are compared with, and a queue for
//! tests that need no disk. It scans all it has for every call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Notify;
use uuid::Uuid;

use super::entry::{Entry, Fate, Line, TAKEN_FROM, TURNS};
use super::{Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Work, WorkQueue};
use crate::Position;
use crate::clock::Clock;

/// A queue in memory; it loses everything when it is dropped.
#[derive(Debug)]
pub struct MemoryQueue {
    state: Mutex<State>,
    arrived: Notify,
    clock: Arc<dyn Clock>,
    attempts_max: u32,
    epoch: Uuid,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<i64, Slot>,
    position: Option<Position>,
    takes: u64,
    turn: usize,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    taken: Option<Taking>,
}

#[derive(Debug, Clone, Copy)]
struct Taking {
    take: u64,
    added_to: bool,
}

impl MemoryQueue {
    /// An empty queue that lets a document fail `attempts_max` times.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, attempts_max: u32) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            clock,
            attempts_max: attempts_max.max(1),
            epoch: Uuid::new_v4(),
        }
    }

    /// What a crash leaves of a durable queue: nothing is in flight any more.
    pub fn crash(&self) {
        let mut state = self.lock();
        state.turn = 0;
        for slot in state.slots.values_mut() {
            slot.taken = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_now(&self, work: Vec<Work>, position: Option<Position>) {
        let mut state = self.lock();
        for work in work {
            state.put(work);
        }
        state.position = state.position.max(position);
        drop(state);
        self.arrived.notify_waiters();
    }

    fn settle_now(&self, settled: Vec<(Ticket, Settled)>) -> SettleReport {
        let mut report = SettleReport::default();
        let mut state = self.lock();
        for (ticket, settled) in settled {
            state.settle(ticket, settled, self.clock.now_ms(), self.attempts_max, &mut report);
        }
        drop(state);
        self.arrived.notify_waiters();
        report
    }
}

impl State {
    fn put(&mut self, work: Work) {
        if let Some(slot) = self.slots.get_mut(&work.document_id) {
            let added_to = slot.entry.add(&work);
            if let Some(taken) = &mut slot.taken {
                taken.added_to |= added_to;
            }
        } else {
            self.slots.insert(work.document_id, Slot { entry: Entry::new(work), taken: None });
        }
    }

    fn take(&mut self, max: usize, now_ms: u64) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let wanted = [TURNS[self.turn % TURNS.len()]];
            let mut lines = wanted.into_iter().chain(TAKEN_FROM);
            let Some(document_id) = lines.find_map(|line| self.first(line, now_ms)) else { break };
            let Some(slot) = self.slots.get_mut(&document_id) else { break };
            self.turn = (self.turn + 1) % TURNS.len();
            self.takes += 1;
            slot.taken = Some(Taking { take: self.takes, added_to: false });
            taken.push(Taken { ticket: Ticket { document_id, take: self.takes }, work: slot.entry.work.clone() });
        }
        taken
    }

    fn first(&self, line: Line, now_ms: u64) -> Option<i64> {
        let waiting = self.slots.iter().filter(|(_, slot)| {
            slot.taken.is_none() && slot.entry.place().0 == line && slot.entry.work.not_before_ms <= now_ms
        });
        waiting.min_by_key(|(id, slot)| (slot.entry.place(), **id)).map(|(id, _)| *id)
    }

    fn settle(&mut self, ticket: Ticket, settled: Settled, now_ms: u64, attempts_max: u32, report: &mut SettleReport) {
        let slot = self.slots.get_mut(&ticket.document_id);
        let Some(slot) = slot.filter(|slot| slot.taken.is_some_and(|taken| taken.take == ticket.take)) else {
            report.unknown += 1;
            return;
        };
        let added_to = slot.taken.take().is_some_and(|taken| taken.added_to);
        let fate = if added_to {
            slot.entry.keep();
            Fate::Kept
        } else {
            slot.entry.settle(settled, now_ms, attempts_max)
        };
        if fate == Fate::Removed {
            self.slots.remove(&ticket.document_id);
        }
        report.count(fate);
    }

    /// When the next entry that is not in flight may be taken.
    fn next_ms(&self) -> Option<u64> {
        let waiting = self.slots.values().filter(|slot| slot.taken.is_none() && !slot.entry.quarantined);
        waiting.map(|slot| slot.entry.work.not_before_ms).min()
    }

    fn in_quarantine(&self, document_id: i64) -> bool {
        self.slots.get(&document_id).is_some_and(|slot| slot.entry.quarantined)
    }
}

impl WorkQueue for MemoryQueue {
    fn put(&self, work: Vec<Work>, position: Option<Position>) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            self.put_now(work, position);
            Ok(())
        })
    }

    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>> {
        Box::pin(async move { Ok(self.lock().take(max, self.clock.now_ms())) })
    }

    fn settle(&self, settled: Vec<(Ticket, Settled)>) -> BoxFuture<'_, Result<SettleReport, QueueError>> {
        Box::pin(async move { Ok(self.settle_now(settled)) })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            loop {
                let arrived = self.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                let now_ms = self.clock.now_ms();
                let next_ms = self.lock().next_ms();
                match next_ms {
                    Some(due_ms) if due_ms <= now_ms => return Ok(()),
                    Some(due_ms) => {
                        let due = self.clock.sleep(Duration::from_millis(due_ms - now_ms));
                        tokio::select! { () = arrived => {}, () = due => {} }
                    }
                    None => arrived.await,
                }
            }
        })
    }

    fn position(&self) -> BoxFuture<'_, Result<Option<Position>, QueueError>> {
        Box::pin(async move { Ok(self.lock().position) })
    }

    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            self.lock().position = Some(position);
            Ok(())
        })
    }

    fn epoch(&self) -> Uuid {
        self.epoch
    }

    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        Box::pin(async move {
            let now_ms = self.clock.now_ms();
            let state = self.lock();
            let mut stats = QueueStats::default();
            for slot in state.slots.values() {
                let line = slot.entry.place().0;
                if line == Line::Quarantine {
                    stats.quarantined += 1;
                    continue;
                }
                stats.depth += 1;
                stats.touches += u64::from(line == Line::Touch);
                stats.delayed += u64::from(line == Line::Delayed);
                stats.in_flight += u64::from(slot.taken.is_some());
                let age_ms = now_ms.saturating_sub(slot.entry.work.first_enqueued_at_ms);
                stats.oldest_age_ms = stats.oldest_age_ms.max(age_ms);
            }
            Ok(stats)
        })
    }

    fn quarantined(
        &self,
        after_document_id: Option<i64>,
        max: usize,
    ) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>> {
        Box::pin(async move {
            let state = self.lock();
            let entries = state.slots.values().map(|slot| &slot.entry).filter(|entry| entry.quarantined);
            let after = entries.filter(|entry| after_document_id.is_none_or(|after| entry.work.document_id > after));
            Ok(after.take(max).cloned().map(Quarantined::from).collect())
        })
    }

    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(async move {
            let mut released = 0;
            let mut state = self.lock();
            for document_id in document_ids {
                if let Some(slot) = state.slots.get_mut(&document_id).filter(|slot| slot.entry.quarantined) {
                    slot.entry.release();
                    released += 1;
                }
            }
            drop(state);
            self.arrived.notify_waiters();
            Ok(released)
        })
    }

    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(async move {
            let mut discarded = 0;
            let mut state = self.lock();
            for document_id in document_ids {
                if state.in_quarantine(document_id) {
                    state.slots.remove(&document_id);
                    discarded += 1;
                }
            }
            Ok(discarded)
        })
    }
}
