//! The queue as its users hold it: sends commands to the owner thread and waits for the answers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::codec::STAGE;
use super::disk::Size;
use super::format;
use super::lane::Readiness;
use super::owner::{Command, EntriesCommand, Granted, LanesCommand, Owner, Reply};
use super::store::Store;
use millstream_pipeline::Position;
use millstream_pipeline::binding::Binding;
use millstream_pipeline::clock::{Clock, SystemClock};
use millstream_pipeline::queue::lanes::{check_name, check_note, no_lane};
use millstream_pipeline::queue::{
    LaneInfo, Lanes, Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Work, WorkQueue,
};

/// How many commands may wait for the owner before callers have to.
const COMMANDS_MAX: usize = 1_024;

/// What can be chosen when a queue is opened.
#[derive(Debug, Clone)]
pub struct LocalQueueOptions {
    /// After how many failed attempts a document goes into quarantine, in the stage and in each lane.
    pub attempts_max: u32,
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
    /// How large the journal may grow, which bounds the time that opening takes after a crash; at least 64 MiB.
    pub journal_bytes: u64,
    /// Memory for what was written last, of each of the two large key spaces.
    pub memtable_bytes: u64,
    /// The database whose work it holds; without one it is not asked whose work that is.
    pub binding: Option<Binding>,
    /// The time.
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

/// A queue in a directory of its own, for one process at a time: the stage, which is opened, or one of its lanes.
///
/// The directory is held until the stage and all lanes are dropped, or until [`LocalQueue::close`]. Dropping the last of
/// them waits for their thread, which takes as long as a write does; closing waits without blocking.
#[derive(Debug)]
pub struct LocalQueue {
    shared: Arc<Shared>,
    number: u16,
    name: String,
    epoch: Uuid,
    readiness: watch::Receiver<Readiness>,
}

/// What the stage and its lanes have in common.
#[derive(Debug)]
struct Shared {
    commands: Option<mpsc::Sender<Command>>,
    clock: Arc<dyn Clock>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LocalQueue {
    /// Opens the queue in `path`, or makes one in a directory that is empty or not there.
    ///
    /// # Errors
    /// When another process has it open, when the directory holds anything else, another format or the work of another
    /// database, or when the disk refuses.
    pub async fn open(path: impl Into<PathBuf>, options: LocalQueueOptions) -> Result<Self, QueueError> {
        let path = path.into();
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (announce, readiness) = watch::channel(Readiness::default());
        let (opened, opening) = oneshot::channel();
        let clock = Arc::clone(&options.clock);
        let io = |source| QueueError::Io { path: path.clone(), source };
        let (thread_path, thread_clock) = (path.clone(), Arc::clone(&clock));
        let owner = move || match open_store(&thread_path, &options) {
            Ok(store) => {
                if opened.send(Ok(store.epoch())).is_ok() {
                    Owner::new(store, thread_clock, announce).run(receiver);
                }
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let thread = thread::Builder::new().name("work-queue".to_owned()).spawn(owner).map_err(io)?;
        let epoch = opening.await.map_err(|_| QueueError::Closed)??;
        let shared = Arc::new(Shared { commands: Some(commands), clock, thread: Mutex::new(Some(thread)) });
        Ok(Self { shared, number: STAGE, name: String::new(), epoch, readiness })
    }

    /// Stops accepting calls, of the lanes too, flushes everything to disk and releases the directory.
    ///
    /// # Errors
    /// When the last flush failed: what was settled last may be done again.
    pub async fn close(&self) -> Result<(), QueueError> {
        self.shared.ask(|reply| Command::Close { reply }).await?;
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread has dropped the store before it answered; all that is left to it is to return.
        if thread.is_some_and(|thread| thread.join().is_err()) {
            return Err(QueueError::Storage { action: "closing", detail: "its thread panicked".to_owned() });
        }
        Ok(())
    }

    /// The lane that was granted under a name.
    fn named(&self, name: &str, Granted { number, epoch, readiness }: Granted) -> Arc<dyn WorkQueue> {
        Arc::new(Self { shared: Arc::clone(&self.shared), number, name: name.to_owned(), epoch, readiness })
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> EntriesCommand) -> Result<T, QueueError> {
        self.shared.ask(|reply| Command::Entries(self.number, command(reply))).await
    }

    async fn ask_lanes<T>(&self, command: impl FnOnce(Reply<T>) -> LanesCommand) -> Result<T, QueueError> {
        self.shared.ask(|reply| Command::Lanes(command(reply))).await
    }

    async fn wait_until_ready(&self) -> Result<(), QueueError> {
        let mut readiness = self.readiness.clone();
        loop {
            let Readiness { now, due_ms } = *readiness.borrow_and_update();
            // After this lane's end what it said last means nothing.
            readiness.has_changed().map_err(|_| self.gone())?;
            let now_ms = self.shared.clock.now_ms();
            match due_ms {
                _ if now => return Ok(()),
                Some(due_ms) if due_ms <= now_ms => return Ok(()),
                Some(due_ms) => {
                    let due = self.shared.clock.sleep(Duration::from_millis(due_ms - now_ms));
                    tokio::select! {
                        changed = readiness.changed() => changed.map_err(|_| self.gone())?,
                        () = due => {}
                    }
                }
                None => readiness.changed().await.map_err(|_| self.gone())?,
            }
        }
    }

    /// Why nobody says any more whether there is something to take.
    fn gone(&self) -> QueueError {
        match &self.shared.commands {
            Some(commands) if !commands.is_closed() && self.number != STAGE => no_lane(&self.name),
            _ => QueueError::Closed,
        }
    }
}

impl Shared {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, QueueError> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(QueueError::Closed)?;
        commands.send(command(reply)).await.map_err(|_| QueueError::Closed)?;
        answer.await.map_err(|_| QueueError::Closed)?
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.commands.take());
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
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
            let granted = self.ask_lanes(|reply| LanesCommand::Add { name: name.to_owned(), reply }).await?;
            Ok(self.named(name, granted))
        })
    }

    fn remove_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, QueueError>> {
        Box::pin(self.ask_lanes(|reply| LanesCommand::Remove { name: name.to_owned(), reply }))
    }

    fn lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn WorkQueue>>, QueueError>> {
        Box::pin(async move {
            let granted = self.ask_lanes(|reply| LanesCommand::Lane { name: name.to_owned(), reply }).await?;
            Ok(granted.map(|granted| self.named(name, granted)))
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

/// Checks the format, then opens the store in a directory below, so that nothing but `FORMAT` is ours to explain.
fn open_store(path: &Path, options: &LocalQueueOptions) -> Result<Store, QueueError> {
    format::check(path)?;
    let size = Size {
        cache_bytes: options.cache_bytes,
        journal_bytes: options.journal_bytes.max(64 << 20),
        memtable_bytes: options.memtable_bytes,
    };
    let store = match Store::open(&path.join("store"), size, options.attempts_max.max(1)) {
        Err(QueueError::InUse { .. }) => return Err(QueueError::InUse { path: path.to_owned() }),
        opened => opened?,
    };
    if let Some(binding) = &options.binding {
        let bound = store.bind(binding)?;
        bound.map_err(|difference| QueueError::Unfit {
            what: format!("the queue in {}", path.display()),
            differences: vec![difference],
        })?;
    }
    Ok(store)
}
