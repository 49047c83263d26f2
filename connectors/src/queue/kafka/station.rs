//! The stage or one lane as this process sees it: its topics, and what it has in hand if it takes part.

mod quarantine;
mod standing;
mod unreadable;

pub use standing::Membership;
pub(super) use unreadable::REASON;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_pipeline::Position;
use millstream_pipeline::queue::{QueueError, Taken, Work};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::asker::Asker;
use super::chores::{self, Errand};
use super::control::{Control, LaneId, no_lane};
use super::member;
use super::names::Names;
use super::options::KafkaQueueOptions;
use super::patience::patiently;
use super::producer::{Outgoing, QueueProducer, Written};
use super::record;
use super::table::Table;
use super::window::{Chore, Window};
use crate::kafka::client::Observer;

/// What the stage and the lanes of one process have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) options: Arc<KafkaQueueOptions>,
    pub(super) observer: Observer,
    pub(super) asker: Asker,
    pub(super) producer: Arc<QueueProducer>,
    pub(super) control: Arc<Control>,
    pub(super) tasks: TaskTracker,
    /// Ends everything of this process.
    pub(super) stop: CancellationToken,
}

/// What happened to a member, for whoever watches it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) refused: AtomicU64,
    pub(super) revocations: AtomicU64,
    pub(super) commits_refused: AtomicU64,
}

/// The stage, or a lane.
pub(super) struct Station {
    pub(super) common: Common,
    pub(super) lane: Option<LaneId>,
    pub(super) names: Names,
    pub(super) work_topic: Arc<str>,
    pub(super) quarantine_topic: Arc<str>,
    /// The quarantine topic, followed.
    pub(super) quarantine: Arc<Table>,
    /// The quarantine topic is written by one at a time, each time with what holds then.
    mirroring: tokio::sync::Mutex<()>,
    window: Mutex<Window>,
    /// Told when something was settled.
    pub(super) settled: Condvar,
    /// Told when anything of the window has changed.
    pub(super) changed: Notify,
    /// The member reads nothing more for now: it has its hands full.
    pub(super) full: AtomicBool,
    /// Records that nobody can read, and that are not kept aside yet: their values are held in memory.
    pub(super) refused: AtomicUsize,
    pub(super) counters: Counters,
    /// Tells this member's records from others'.
    pub(super) member_id: Uuid,
    pub(super) stop: CancellationToken,
    errands: mpsc::UnboundedSender<Errand>,
    thread: Mutex<Option<JoinHandle<()>>>,
    runtime: tokio::runtime::Handle,
}

impl Station {
    /// Opens topics that are there. Nothing is taken part in yet.
    pub(super) async fn open(common: Common, lane: Option<LaneId>, names: Names) -> Result<Arc<Self>, QueueError> {
        let (options, stop) = (Arc::clone(&common.options), common.stop.child_token());
        let topic = (names.quarantine.as_str(), names.group.as_str(), options.partitions);
        let quarantine = Table::open(&options, topic, (&common.observer, &common.asker), &common.tasks, &stop).await?;
        let (errands, received) = mpsc::unbounded_channel();
        let station = Arc::new(Self {
            work_topic: Arc::from(names.work.as_str()),
            quarantine_topic: Arc::from(names.quarantine.as_str()),
            lane,
            names,
            quarantine,
            mirroring: tokio::sync::Mutex::new(()),
            window: Mutex::default(),
            settled: Condvar::new(),
            changed: Notify::new(),
            full: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
            counters: Counters::default(),
            member_id: Uuid::new_v4(),
            stop,
            errands,
            thread: Mutex::new(None),
            runtime: tokio::runtime::Handle::current(),
            common,
        });
        let errands = Arc::clone(&station);
        station.common.tasks.spawn(async move { chores::run(&errands, received).await });
        Ok(station)
    }

    pub(super) fn window(&self) -> MutexGuard<'_, Window> {
        // Nothing panics half way through a change of it.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits on the window until it was settled something, or so long.
    pub(super) fn wait_settled<'a>(
        &self,
        window: MutexGuard<'a, Window>,
        for_at_most: Duration,
    ) -> MutexGuard<'a, Window> {
        self.settled.wait_timeout(window, for_at_most).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Tells whoever waits that the window has changed.
    pub(super) fn announce(&self) {
        self.settled.notify_all();
        self.changed.notify_waiters();
    }

    /// A lane that was removed is gone for whoever still has it, also if another has its name now.
    pub(super) fn alive(&self) -> Result<(), QueueError> {
        if self.stop.is_cancelled() {
            return Err(match &self.lane {
                Some(lane) if !self.common.stop.is_cancelled() => no_lane(&lane.name),
                _ => QueueError::Closed,
            });
        }
        let Some(lane) = &self.lane else { return Ok(()) };
        let known = self.common.control.lane(&lane.name)?;
        if known.is_some_and(|known| known.epoch == lane.epoch) { Ok(()) } else { Err(no_lane(&lane.name)) }
    }

    fn is_paused(&self) -> Result<bool, QueueError> {
        let Some(lane) = &self.lane else { return Ok(false) };
        Ok(self.common.control.lane(&lane.name)?.is_some_and(|lane| lane.paused))
    }

    fn now_ms(&self) -> u64 {
        self.common.options.clock.now_ms()
    }

    /// Takes part from now on: joins the group and reads what it is given.
    pub(super) fn join(self: &Arc<Self>) -> Result<(), QueueError> {
        self.alive()?;
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let (station, runtime) = (Arc::clone(self), self.runtime.clone());
            let spawned = std::thread::Builder::new()
                .name("work-queue".to_owned())
                .spawn(move || member::run(&station, &runtime))
                .map_err(|error| QueueError::Storage { action: "starting a member", detail: error.to_string() })?;
            *thread = Some(spawned);
        }
        Ok(())
    }

    /// Stops taking part, and waits until the partitions are let go of.
    pub(super) async fn leave(&self) {
        self.stop.cancel();
        self.announce();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!(topic = %self.work_topic, "a member of the queue ended in a panic");
            }
        }
    }

    /// Hands a chore to whoever does them. After the end nobody does: the record is read again by the next member.
    pub(super) fn hand_over(&self, errand: Errand) {
        drop(self.errands.send(errand));
    }

    pub(super) fn hand_over_chore(&self, chore: Option<Chore>) {
        if let Some(chore) = chore {
            self.hand_over(Errand::Chore(chore));
        }
    }

    pub(super) async fn put(&self, work: Vec<Work>, position: Option<Position>) -> Result<(), QueueError> {
        self.alive()?;
        let records: Vec<Outgoing> = work.iter().map(|work| self.entry(work.document_id, record::put(work))).collect();
        let written = self.common.producer.write(&records, |_| self.alive().is_ok()).await?;
        self.alive()?;
        if let Some(position) = position {
            let advance = || self.common.control.advance(self.lane.as_ref(), position);
            patiently(&self.stop, advance).await?;
        }
        self.seen(&written).await;
        Ok(())
    }

    /// A record for the work topic.
    pub(super) fn entry(&self, document_id: i64, value: Vec<u8>) -> Outgoing {
        let key = record::entry_key(document_id);
        Outgoing { topic: Arc::clone(&self.work_topic), partition: None, key, value: Some(value), note: None }
    }

    /// Waits until this member has read what was just written to partitions of its own, so that who wrote finds it.
    /// Whoever is no member, or has its hands full, waits for nothing.
    pub(super) async fn seen(&self, written: &[Option<Written>]) {
        let all_read = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let read = {
                    let window = self.window();
                    written.iter().flatten().all(|written| window.has_read(written.partition, written.offset))
                };
                if read || self.full.load(Ordering::Relaxed) || self.stop.is_cancelled() {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(self.common.options.answer_timeout, all_read).await.is_err() {
            tracing::warn!(topic = %self.work_topic, "what was written to the queue is slow to come back");
        }
    }

    pub(super) fn take(self: &Arc<Self>, max: usize) -> Result<Vec<Taken>, QueueError> {
        self.join()?;
        if self.is_paused()? {
            return Ok(Vec::new());
        }
        Ok(self.window().take(max, self.now_ms()))
    }

    pub(super) async fn ready(self: &Arc<Self>) -> Result<(), QueueError> {
        self.join()?;
        let mut control = self.common.control.changes();
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            control.borrow_and_update();
            self.alive()?;
            let due_ms = if self.is_paused()? { None } else { self.window().next_ms() };
            let now_ms = self.now_ms();
            let due = match due_ms {
                Some(due_ms) if due_ms <= now_ms => return Ok(()),
                Some(due_ms) => self.common.options.clock.sleep(Duration::from_millis(due_ms - now_ms)),
                None => Box::pin(std::future::pending()),
            };
            tokio::select! {
                () = changed => {}
                () = due => {}
                told = control.changed() => told.map_err(|_| QueueError::Closed)?,
                () = self.stop.cancelled() => {}
            }
        }
    }
}
