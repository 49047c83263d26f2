//! The queue as its users hold it: handles that send commands to the owner thread and wait for the replies.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::future::BoxFuture;
use millstream_pipeline::Position;
use millstream_pipeline::binding::Binding;
use millstream_pipeline::clock::{Clock, SystemClock};
use millstream_pipeline::queue::lanes::{check_name, check_note, no_lane};
use millstream_pipeline::queue::{
    LaneInfo, Lanes, Quarantined, QueueError, QueueProblem, QueueStats, SettleReport, Settled, Taken, Ticket, Work,
    WorkQueue,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::codec::CACHE_QUEUE;
use super::command::{EntriesCommand, LanesCommand, OpenedLane, QueueCommand, Reply};
use super::disk::StoreSize;
use super::format;
use super::lane::Readiness;
use super::owner::Owner;
use super::space::{SharedProblem, Space};
use super::store::LaneStore;

/// Commands that may wait for the owner before callers do.
const COMMANDS_MAX: usize = 1_024;

/// Options of a local queue.
#[derive(Debug, Clone)]
pub struct LocalQueueOptions {
    /// Attempts before a document goes into quarantine, in the cache queue and in each lane.
    pub attempts_max: u32,
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
    /// Limit of the journal, which bounds the time that opening takes after a crash; at least 64 MiB.
    pub journal_bytes: u64,
    /// Memory for recent writes, of each of the two large key spaces.
    pub memtable_bytes: u64,
    /// The database that the queue belongs to; `None` skips the check.
    pub binding: Option<Binding>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Default for LocalQueueOptions {
    fn default() -> Self {
        Self {
            attempts_max: 10,
            cache_bytes: 16 << 20,
            journal_bytes: 128 << 20,
            memtable_bytes: 4 << 20,
            binding: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A queue in a directory of its own, for one process at a time: the cache queue, or one of its lanes.
///
/// The directory is locked until the handles of the cache queue and of all lanes are dropped, or until
/// [`LocalQueue::close`]. Dropping the last handle blocks until the owner thread has ended, which takes as long as a write;
/// closing waits without blocking.
#[derive(Debug)]
pub struct LocalQueue {
    owner: Arc<OwnerThread>,
    number: u16,
    name: String,
    epoch: Uuid,
    readiness: watch::Receiver<Readiness>,
}

/// The owner thread, which all handles share.
#[derive(Debug)]
struct OwnerThread {
    commands: Option<mpsc::Sender<QueueCommand>>,
    clock: Arc<dyn Clock>,
    thread: Mutex<Option<JoinHandle<()>>>,
    problem: SharedProblem,
}

impl LocalQueue {
    /// Opens the queue in `path`, or creates one in a directory that is empty or does not exist.
    ///
    /// # Errors
    /// When another process has it open, when the directory holds something else, another format or the queue of another
    /// database, or when the file system fails.
    pub async fn open(path: impl Into<PathBuf>, options: LocalQueueOptions) -> Result<Self, QueueError> {
        let path = path.into();
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (sender, readiness) = watch::channel(Readiness::default());
        let (opened, opening) = oneshot::channel();
        let clock = Arc::clone(&options.clock);
        let io = |source| QueueError::Io { path: path.clone(), source };
        let (thread_path, thread_clock) = (path.clone(), Arc::clone(&clock));
        let problem = SharedProblem::default();
        let space = Space::new(&path, Arc::clone(&clock), Arc::clone(&problem));
        let run = move || match open_store(&thread_path, &options) {
            Ok(store) => {
                if opened.send(Ok(store.epoch())).is_ok() {
                    Owner::new(store, thread_clock, options.attempts_max.max(1), sender, space).run(receiver);
                }
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let thread = thread::Builder::new().name("work-queue".to_owned()).spawn(run).map_err(io)?;
        let epoch = opening.await.map_err(|_| QueueError::Closed)??;
        let owner =
            Arc::new(OwnerThread { commands: Some(commands), clock, thread: Mutex::new(Some(thread)), problem });
        Ok(Self { owner, number: CACHE_QUEUE, name: String::new(), epoch, readiness })
    }

    /// Stops accepting calls, also to the lanes, flushes everything to disk and releases the directory.
    ///
    /// # Errors
    /// When the last flush failed: the last settlements may be repeated.
    pub async fn close(&self) -> Result<(), QueueError> {
        self.owner.ask(|reply| QueueCommand::Close { reply }).await?;
        let thread = self.owner.thread.lock().take();
        // The thread dropped the store before it replied, so joining it does not wait for the disk.
        if thread.is_some_and(|thread| thread.join().is_err()) {
            return Err(QueueError::Storage { action: "closing", detail: "its thread panicked".to_owned() });
        }
        Ok(())
    }

    /// Returns a handle of a lane.
    fn lane_handle(&self, name: &str, OpenedLane { number, epoch, readiness }: OpenedLane) -> Arc<dyn WorkQueue> {
        Arc::new(Self { owner: Arc::clone(&self.owner), number, name: name.to_owned(), epoch, readiness })
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> EntriesCommand) -> Result<T, QueueError> {
        self.owner.ask(|reply| QueueCommand::Entries(self.number, command(reply))).await
    }

    async fn ask_lanes<T>(&self, command: impl FnOnce(Reply<T>) -> LanesCommand) -> Result<T, QueueError> {
        self.owner.ask(|reply| QueueCommand::Lanes(command(reply))).await
    }

    async fn wait_until_ready(&self) -> Result<(), QueueError> {
        let mut readiness = self.readiness.clone();
        loop {
            let Readiness { now, due_ms } = *readiness.borrow_and_update();
            // The last value of a removed lane is meaningless.
            readiness.has_changed().map_err(|_| self.gone())?;
            let now_ms = self.owner.clock.now_ms();
            match due_ms {
                _ if now => return Ok(()),
                Some(due_ms) if due_ms <= now_ms => return Ok(()),
                Some(due_ms) => {
                    let due = self.owner.clock.sleep(Duration::from_millis(due_ms - now_ms));
                    tokio::select! {
                        changed = readiness.changed() => changed.map_err(|_| self.gone())?,
                        () = due => {}
                    }
                }
                None => readiness.changed().await.map_err(|_| self.gone())?,
            }
        }
    }

    /// Returns the reason why the readiness is not published any more.
    fn gone(&self) -> QueueError {
        match &self.owner.commands {
            Some(commands) if !commands.is_closed() && self.number != CACHE_QUEUE => no_lane(&self.name),
            _ => QueueError::Closed,
        }
    }
}

impl OwnerThread {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> QueueCommand) -> Result<T, QueueError> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(QueueError::Closed)?;
        commands.send(command(reply)).await.map_err(|_| QueueError::Closed)?;
        answer.await.map_err(|_| QueueError::Closed)?
    }
}

impl Drop for OwnerThread {
    fn drop(&mut self) {
        drop(self.commands.take());
        let thread = self.thread.get_mut().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the work queue panicked");
        }
    }
}

impl WorkQueue for LocalQueue {
    fn put(&self, work: Vec<Work>, position: Option<Position>) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(self.ask(move |reply| EntriesCommand::Put { work, position, reply }))
    }

    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>> {
        Box::pin(self.ask(move |reply| EntriesCommand::Take { max, reply }))
    }

    fn settle(&self, settled: Vec<(Ticket, Settled)>) -> BoxFuture<'_, Result<SettleReport, QueueError>> {
        Box::pin(self.ask(move |reply| EntriesCommand::Settle { settled, reply }))
    }

    fn problem(&self) -> Option<QueueProblem> {
        self.owner.problem.lock().clone()
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(self.wait_until_ready())
    }

    fn position(&self) -> BoxFuture<'_, Result<Option<Position>, QueueError>> {
        Box::pin(self.ask(|reply| EntriesCommand::Position { reply }))
    }

    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(self.ask(move |reply| EntriesCommand::ResetPosition { position, reply }))
    }

    fn epoch(&self) -> Uuid {
        self.epoch
    }

    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        Box::pin(self.ask(|reply| EntriesCommand::Stats { reply }))
    }

    fn quarantined(&self, after: Option<i64>, max: usize) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>> {
        Box::pin(self.ask(move |reply| EntriesCommand::Quarantined { after, max, reply }))
    }

    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(self.ask(move |reply| EntriesCommand::LeaveQuarantine { document_ids, again: true, reply }))
    }

    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(self.ask(move |reply| EntriesCommand::LeaveQuarantine { document_ids, again: false, reply }))
    }
}

impl Lanes for LocalQueue {
    fn add_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn WorkQueue>, QueueError>> {
        Box::pin(async move {
            check_name(name)?;
            let lane = self.ask_lanes(|reply| LanesCommand::Add { name: name.to_owned(), reply }).await?;
            Ok(self.lane_handle(name, lane))
        })
    }

    fn remove_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, QueueError>> {
        Box::pin(self.ask_lanes(|reply| LanesCommand::Remove { name: name.to_owned(), reply }))
    }

    fn lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn WorkQueue>>, QueueError>> {
        Box::pin(async move {
            let lane = self.ask_lanes(|reply| LanesCommand::Lane { name: name.to_owned(), reply }).await?;
            Ok(lane.map(|lane| self.lane_handle(name, lane)))
        })
    }

    fn lanes(&self) -> BoxFuture<'_, Result<Vec<LaneInfo>, QueueError>> {
        Box::pin(self.ask_lanes(|reply| LanesCommand::List { reply }))
    }

    fn set_paused<'a>(&'a self, name: &'a str, paused: bool) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(self.ask_lanes(move |reply| LanesCommand::SetPaused { name: name.to_owned(), paused, reply }))
    }

    fn set_note<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        note: Option<Vec<u8>>,
    ) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move {
            check_note(key, note.as_ref())?;
            let (name, key) = (name.to_owned(), key.to_owned());
            self.ask_lanes(|reply| LanesCommand::SetNote { name, key, note, reply }).await
        })
    }

    fn note<'a>(&'a self, name: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, QueueError>> {
        let (name, key) = (name.to_owned(), key.to_owned());
        Box::pin(self.ask_lanes(|reply| LanesCommand::Note { name, key, reply }))
    }
}

/// Checks the format, then opens the store in a directory of its own beside `FORMAT`.
fn open_store(path: &Path, options: &LocalQueueOptions) -> Result<LaneStore, QueueError> {
    format::check(path)?;
    let size = StoreSize {
        cache_bytes: options.cache_bytes,
        journal_bytes: options.journal_bytes.max(64 << 20),
        memtable_bytes: options.memtable_bytes,
    };
    let store = match LaneStore::open(&path.join("store"), size) {
        Err(QueueError::InUse { .. }) => return Err(QueueError::InUse { path: path.to_owned() }),
        opened => opened?,
    };
    let difference = options.binding.as_ref().map(|binding| store.bind(binding)).transpose()?.flatten();
    match difference {
        None => Ok(store),
        Some(difference) => {
            let what = format!("the queue in {}", path.display());
            Err(QueueError::Incompatible { what, differences: vec![difference] })
        }
    }
}
