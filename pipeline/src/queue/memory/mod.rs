//! The queue as plainly as it can be said: the reference that other implementations are compared with, and a queue for
//! tests that need no disk. It scans all it has for every call.

mod stage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use tokio::sync::Notify;
use uuid::Uuid;

use self::stage::Stage;
use super::lanes::{check_name, check_note, no_lane};
use super::{
    LaneInfo, Lanes, Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Work, WorkQueue,
};
use crate::Position;
use crate::clock::Clock;

/// A queue in memory, the stage or one of its lanes; all is lost when the stage and the lanes are dropped.
#[derive(Debug)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
    /// The lane's name; `None` for the stage.
    lane: Option<String>,
    /// Tells this lane from others that had its name.
    epoch: Uuid,
}

/// What the stage and its lanes have in common.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
    clock: Arc<dyn Clock>,
    attempts_max: u32,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    lanes: BTreeMap<String, Stage>,
    takes: u64,
}

impl State {
    /// The stage, or the lane of that name and epoch, and the count of takings.
    fn part(&mut self, name: Option<&str>, epoch: Uuid) -> Result<(&mut Stage, &mut u64), QueueError> {
        let part = match name {
            None => &mut self.stage,
            Some(name) => {
                let lane = self.lanes.get_mut(name).filter(|lane| lane.epoch == epoch);
                lane.ok_or_else(|| no_lane(name))?
            }
        };
        Ok((part, &mut self.takes))
    }
}

impl MemoryQueue {
    /// An empty queue that lets a document fail `attempts_max` times.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, attempts_max: u32) -> Self {
        let stage = Stage::new();
        let epoch = stage.epoch;
        let state = Mutex::new(State { stage, lanes: BTreeMap::new(), takes: 0 });
        let shared = Shared { state, arrived: Notify::new(), clock, attempts_max: attempts_max.max(1) };
        Self { shared: Arc::new(shared), lane: None, epoch }
    }

    /// What a crash leaves of a durable queue: nothing is in flight any more.
    pub fn crash(&self) {
        let mut state = self.lock();
        state.stage.crash();
        state.lanes.values_mut().for_each(Stage::crash);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way through a change.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the stage or the lane that this is.
    fn look<T>(&self, look: impl FnOnce(&Stage) -> T) -> Result<T, QueueError> {
        self.lock().part(self.lane.as_deref(), self.epoch).map(|(stage, _)| look(stage))
    }

    /// Changes the stage or the lane that this is, and wakes whoever may wait for it.
    fn with<T>(&self, deed: impl FnOnce(&mut Stage, &mut u64) -> T) -> Result<T, QueueError> {
        let done = self.lock().part(self.lane.as_deref(), self.epoch).map(|(stage, takes)| deed(stage, takes));
        self.shared.arrived.notify_waiters();
        done
    }

    /// Does something with a lane, and wakes whoever may wait for it.
    fn with_lane<T>(&self, name: &str, deed: impl FnOnce(&mut Stage) -> T) -> Result<T, QueueError> {
        let done = deed(self.lock().lanes.get_mut(name).ok_or_else(|| no_lane(name))?);
        self.shared.arrived.notify_waiters();
        Ok(done)
    }

    fn settle_now(&self, settled: Vec<(Ticket, Settled)>) -> Result<SettleReport, QueueError> {
        let limits = (self.shared.clock.now_ms(), self.shared.attempts_max);
        let mut report = SettleReport::default();
        let mut state = self.lock();
        for settled in settled {
            let (stage, _) = state.part(self.lane.as_deref(), self.epoch)?;
            let delivery = stage.settle(settled, limits, &mut report);
            if let Some(delivery) = delivery.filter(|_| self.lane.is_none()) {
                state.lanes.values_mut().for_each(|lane| lane.put(delivery.clone()));
            }
        }
        drop(state);
        self.shared.arrived.notify_waiters();
        Ok(report)
    }

    fn named(&self, name: &str, epoch: Uuid) -> Arc<dyn WorkQueue> {
        Arc::new(Self { shared: Arc::clone(&self.shared), lane: Some(name.to_owned()), epoch })
    }
}

impl WorkQueue for MemoryQueue {
    fn put(&self, work: Vec<Work>, position: Option<Position>) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move {
            self.with(|stage, _| {
                work.into_iter().for_each(|work| stage.put(work));
                stage.position = stage.position.max(position);
            })
        })
    }

    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>> {
        Box::pin(async move { self.with(|stage, takes| stage.take(takes, max, self.shared.clock.now_ms())) })
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
                // Looking wakes nobody, or two waiters would keep each other awake.
                match self.look(|stage| stage.next_ms())? {
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
        Box::pin(async move { self.look(|stage| stage.position) })
    }

    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(async move { self.with(|stage, _| stage.position = Some(position)) })
    }

    fn epoch(&self) -> Uuid {
        self.epoch
    }

    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        Box::pin(async move { self.look(|stage| stage.stats(self.shared.clock.now_ms())) })
    }

    fn quarantined(&self, after: Option<i64>, max: usize) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>> {
        Box::pin(async move { self.look(|stage| stage.quarantined(after, max)) })
    }

    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(async move { self.with(|stage, _| stage.leave_quarantine(document_ids, true)) })
    }

    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(async move { self.with(|stage, _| stage.leave_quarantine(document_ids, false)) })
    }
}

impl Lanes for MemoryQueue {
    fn add_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn WorkQueue>, QueueError>> {
        Box::pin(async move {
            check_name(name)?;
            let epoch = self.lock().lanes.entry(name.to_owned()).or_insert_with(Stage::new).epoch;
            Ok(self.named(name, epoch))
        })
    }

    fn remove_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, QueueError>> {
        Box::pin(async move {
            let removed = self.lock().lanes.remove(name).is_some();
            self.shared.arrived.notify_waiters();
            Ok(removed)
        })
    }

    fn lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn WorkQueue>>, QueueError>> {
        let epoch = self.lock().lanes.get(name).map(|lane| lane.epoch);
        Box::pin(ready(Ok(epoch.map(|epoch| self.named(name, epoch)))))
    }

    fn lanes(&self) -> BoxFuture<'_, Result<Vec<LaneInfo>, QueueError>> {
        let info =
            |(name, lane): (&String, &Stage)| LaneInfo { name: name.clone(), paused: lane.paused, epoch: lane.epoch };
        let lanes = self.lock().lanes.iter().map(info).collect();
        Box::pin(ready(Ok(lanes)))
    }

    fn set_paused<'a>(&'a self, name: &'a str, paused: bool) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move { self.with_lane(name, |lane| lane.paused = paused) })
    }

    fn set_note<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        note: Option<Vec<u8>>,
    ) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move {
            check_note(key, note.as_ref())?;
            self.with_lane(name, |lane| match note {
                Some(note) => drop(lane.notes.insert(key.to_owned(), note)),
                None => drop(lane.notes.remove(key)),
            })
        })
    }

    fn note<'a>(&'a self, name: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, QueueError>> {
        Box::pin(async move { self.with_lane(name, |lane| lane.notes.get(key).cloned()) })
    }
}
