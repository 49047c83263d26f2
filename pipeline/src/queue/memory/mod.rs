//! The reference queue, in memory: other implementations are compared with it, and tests without a disk use it. Every
//! call scans all entries.

mod entries;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use self::entries::Entries;
use super::contract::WorkQueue;
use super::error::QueueError;
use super::lanes::{LaneInfo, Lanes, check_name, check_note, no_lane};
use super::settle::{SettleReport, Settled, Taken, Ticket};
use super::stats::{Quarantined, QueueStats};
use super::work::Work;
use crate::clock::Clock;
use crate::position::Position;

/// A handle to a queue in memory: to the cache queue or to one of its lanes. The content is lost with the last handle.
#[derive(Debug)]
pub struct MemoryQueue {
    shared: Arc<SharedQueue>,
    /// The lane's name; `None` for the cache queue.
    lane: Option<String>,
    /// Tells this lane from earlier lanes of its name.
    epoch: Uuid,
}

/// The content that all handles share.
#[derive(Debug)]
struct SharedQueue {
    content: Mutex<QueueContent>,
    arrived: Notify,
    clock: Arc<dyn Clock>,
    attempts_max: u32,
}

#[derive(Debug)]
struct QueueContent {
    cache_queue: Entries,
    lanes: BTreeMap<String, Entries>,
    takes: u64,
}

impl QueueContent {
    /// Returns the entries of the cache queue, or of the lane with this name and epoch, and the count of takings.
    fn entries(&mut self, name: Option<&str>, epoch: Uuid) -> Result<(&mut Entries, &mut u64), QueueError> {
        let entries = match name {
            None => &mut self.cache_queue,
            Some(name) => {
                let lane = self.lanes.get_mut(name).filter(|lane| lane.epoch == epoch);
                lane.ok_or_else(|| no_lane(name))?
            }
        };
        Ok((entries, &mut self.takes))
    }
}

impl MemoryQueue {
    /// Returns an empty queue that quarantines a document after `attempts_max` failures.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, attempts_max: u32) -> Self {
        let cache_queue = Entries::new();
        let epoch = cache_queue.epoch;
        let content = Mutex::new(QueueContent { cache_queue, lanes: BTreeMap::new(), takes: 0 });
        let shared = SharedQueue { content, arrived: Notify::new(), clock, attempts_max: attempts_max.max(1) };
        Self { shared: Arc::new(shared), lane: None, epoch }
    }

    /// Simulates the crash of a durable queue: no entry is in flight any more.
    pub fn crash(&self) {
        let mut content = self.shared.content.lock();
        content.cache_queue.crash();
        content.lanes.values_mut().for_each(Entries::crash);
    }

    /// Reads the entries of this handle.
    fn read<T>(&self, read: impl FnOnce(&Entries) -> T) -> Result<T, QueueError> {
        let mut content = self.shared.content.lock();
        content.entries(self.lane.as_deref(), self.epoch).map(|(entries, _)| read(entries))
    }

    /// Changes the entries of this handle and wakes all waiters.
    fn change<T>(&self, change: impl FnOnce(&mut Entries, &mut u64) -> T) -> Result<T, QueueError> {
        let mut content = self.shared.content.lock();
        let changed = content.entries(self.lane.as_deref(), self.epoch).map(|(entries, takes)| change(entries, takes));
        drop(content);
        self.shared.arrived.notify_waiters();
        changed
    }

    /// Changes a lane and wakes all waiters.
    fn change_lane<T>(&self, name: &str, change: impl FnOnce(&mut Entries) -> T) -> Result<T, QueueError> {
        let changed = change(self.shared.content.lock().lanes.get_mut(name).ok_or_else(|| no_lane(name))?);
        self.shared.arrived.notify_waiters();
        Ok(changed)
    }

    fn settle_now(&self, settled: Vec<(Ticket, Settled)>) -> Result<SettleReport, QueueError> {
        let limits = (self.shared.clock.now_ms(), self.shared.attempts_max);
        let mut report = SettleReport::default();
        let mut content = self.shared.content.lock();
        for settled in settled {
            let (entries, _) = content.entries(self.lane.as_deref(), self.epoch)?;
            let delivery = entries.settle(settled, limits, &mut report);
            if let Some(delivery) = delivery.filter(|_| self.lane.is_none()) {
                content.lanes.values_mut().for_each(|lane| lane.put(delivery.clone()));
            }
        }
        drop(content);
        self.shared.arrived.notify_waiters();
        Ok(report)
    }

    fn lane_handle(&self, name: &str, epoch: Uuid) -> Arc<dyn WorkQueue> {
        Arc::new(Self { shared: Arc::clone(&self.shared), lane: Some(name.to_owned()), epoch })
    }
}

impl WorkQueue for MemoryQueue {
    fn put(&self, work: Vec<Work>, position: Option<Position>) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            self.change(|entries, _| {
                work.into_iter().for_each(|work| entries.put(work));
                entries.position = entries.position.max(position);
            })
        })
    }

    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>> {
        Box::pin(async move { self.change(|entries, takes| entries.take(takes, max, self.shared.clock.now_ms())) })
    }

    fn settle(&self, settled: Vec<(Ticket, Settled)>) -> BoxFuture<'_, Result<SettleReport, QueueError>> {
        Box::pin(async move { self.settle_now(settled) })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            loop {
                let arrived = self.shared.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                let now_ms = self.shared.clock.now_ms();
                // Reading must not notify, or two waiters would wake each other forever.
                match self.read(Entries::next_ms)? {
                    Some(due_ms) if due_ms <= now_ms => return Ok(()),
                    Some(due_ms) => {
                        let due = self.shared.clock.sleep(Duration::from_millis(due_ms - now_ms));
                        tokio::select! { () = arrived => {}, () = due => {} }
                    }
                    None => arrived.await,
                }
            }
        })
    }

    fn position(&self) -> BoxFuture<'_, Result<Option<Position>, QueueError>> {
        Box::pin(async move { self.read(|entries| entries.position) })
    }

    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move { self.change(|entries, _| entries.position = Some(position)) })
    }

    fn epoch(&self) -> Uuid {
        self.epoch
    }

    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        Box::pin(async move { self.read(|entries| entries.stats(self.shared.clock.now_ms())) })
    }

    fn quarantined(&self, after: Option<i64>, max: usize) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>> {
        Box::pin(async move { self.read(|entries| entries.quarantined(after, max)) })
    }

    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(async move { self.change(|entries, _| entries.release(document_ids)) })
    }

    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(async move { self.change(|entries, _| entries.discard(document_ids)) })
    }
}

impl Lanes for MemoryQueue {
    fn add_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn WorkQueue>, QueueError>> {
        Box::pin(async move {
            check_name(name)?;
            let mut content = self.shared.content.lock();
            let epoch = content.lanes.entry(name.to_owned()).or_insert_with(Entries::new).epoch;
            Ok(self.lane_handle(name, epoch))
        })
    }

    fn remove_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, QueueError>> {
        Box::pin(async move {
            let removed = self.shared.content.lock().lanes.remove(name).is_some();
            self.shared.arrived.notify_waiters();
            Ok(removed)
        })
    }

    fn lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn WorkQueue>>, QueueError>> {
        let epoch = self.shared.content.lock().lanes.get(name).map(|lane| lane.epoch);
        Box::pin(ready(Ok(epoch.map(|epoch| self.lane_handle(name, epoch)))))
    }

    fn lanes(&self) -> BoxFuture<'_, Result<Vec<LaneInfo>, QueueError>> {
        let info =
            |(name, lane): (&String, &Entries)| LaneInfo { name: name.clone(), paused: lane.paused, epoch: lane.epoch };
        let lanes = self.shared.content.lock().lanes.iter().map(info).collect();
        Box::pin(ready(Ok(lanes)))
    }

    fn set_paused<'a>(&'a self, name: &'a str, paused: bool) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move { self.change_lane(name, |lane| lane.paused = paused) })
    }

    fn set_note<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        note: Option<Vec<u8>>,
    ) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move {
            check_note(key, note.as_ref())?;
            self.change_lane(name, |lane| match note {
                Some(note) => drop(lane.notes.insert(key.to_owned(), note)),
                None => drop(lane.notes.remove(key)),
            })
        })
    }

    fn note<'a>(&'a self, name: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, QueueError>> {
        Box::pin(async move { self.change_lane(name, |lane| lane.notes.get(key).cloned()) })
    }
}
