//! The queue as its users hold it: sends commands to the owner thread and waits for the answers.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::codec::FORMAT;
use super::owner::{Command, Owner, Reply};
use super::store::{Readiness, Size, Store};
use crate::Position;
use crate::clock::{Clock, SystemClock};
use crate::queue::{Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Work, WorkQueue};

/// How many commands may wait for the owner before callers have to.
const COMMANDS_MAX: usize = 1_024;

/// What can be chosen when a queue is opened.
#[derive(Debug, Clone)]
pub struct LocalQueueOptions {
    /// After how many failed attempts a document goes into quarantine.
    pub attempts_max: u32,
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
    /// How large the journal may grow, which bounds the time that opening takes after a crash; at least 64 MiB.
    pub journal_bytes: u64,
    /// Memory for what was written last, of each of the two large key spaces.
    pub memtable_bytes: u64,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Default for LocalQueueOptions {
    fn default() -> Self {
        Self {
            attempts_max: 10,
            cache_bytes: 16 << 20,
            journal_bytes: 128 << 20,
            memtable_bytes: 16 << 20,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A queue in a directory of its own, for one process at a time.
///
/// Dropping it waits for its thread, which takes as long as a write does; [`LocalQueue::close`] waits without blocking.
#[derive(Debug)]
pub struct LocalQueue {
    commands: Option<mpsc::Sender<Command>>,
    readiness: watch::Receiver<Readiness>,
    clock: Arc<dyn Clock>,
    epoch: Uuid,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LocalQueue {
    /// Opens the queue in `path`, or makes one in a directory that is empty or not there.
    ///
    /// # Errors
    /// When another process has it open, when the directory holds anything else or another format, or when the disk
    /// refuses.
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
        Ok(Self { commands: Some(commands), readiness, clock, epoch, thread: Mutex::new(Some(thread)) })
    }

    /// Stops accepting calls, flushes everything to disk and releases the directory.
    ///
    /// # Errors
    /// When the last flush failed: what was settled last may be done again.
    pub async fn close(&self) -> Result<(), QueueError> {
        self.ask(|reply| Command::Close { reply }).await?;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The thread has dropped the store before it answered; all that is left to it is to return.
        if thread.is_some_and(|thread| thread.join().is_err()) {
            return Err(QueueError::Storage { action: "closing", detail: "its thread panicked".to_owned() });
        }
        Ok(())
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, QueueError> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(QueueError::Closed)?;
        commands.send(command(reply)).await.map_err(|_| QueueError::Closed)?;
        answer.await.map_err(|_| QueueError::Closed)?
    }

    async fn wait_until_ready(&self) -> Result<(), QueueError> {
        let mut readiness = self.readiness.clone();
        loop {
            let Readiness { now, due_ms } = *readiness.borrow_and_update();
            let now_ms = self.clock.now_ms();
            match due_ms {
                _ if now => return Ok(()),
                Some(due_ms) if due_ms <= now_ms => return Ok(()),
                Some(due_ms) => {
                    let due = self.clock.sleep(Duration::from_millis(due_ms - now_ms));
                    tokio::select! {
                        changed = readiness.changed() => changed.map_err(|_| QueueError::Closed)?,
                        () = due => {}
                    }
                }
                None => readiness.changed().await.map_err(|_| QueueError::Closed)?,
            }
        }
    }
}

impl Drop for LocalQueue {
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
        Box::pin(self.ask(move |reply| Command::Put { work, position, reply }))
    }

    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>> {
        Box::pin(self.ask(move |reply| Command::Take { max, reply }))
    }

    fn settle(&self, settled: Vec<(Ticket, Settled)>) -> BoxFuture<'_, Result<SettleReport, QueueError>> {
        Box::pin(self.ask(move |reply| Command::Settle { settled, reply }))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(self.wait_until_ready())
    }

    fn position(&self) -> BoxFuture<'_, Result<Option<Position>, QueueError>> {
        Box::pin(self.ask(|reply| Command::Position { reply }))
    }

    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(self.ask(move |reply| Command::ResetPosition { position, reply }))
    }

    fn epoch(&self) -> Uuid {
        self.epoch
    }

    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        Box::pin(self.ask(|reply| Command::Stats { reply }))
    }

    fn quarantined(&self, after: Option<i64>, max: usize) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>> {
        Box::pin(self.ask(move |reply| Command::Quarantined { after, max, reply }))
    }

    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(self.ask(move |reply| Command::LeaveQuarantine { document_ids, again: true, reply }))
    }

    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(self.ask(move |reply| Command::LeaveQuarantine { document_ids, again: false, reply }))
    }
}

/// Checks the format, then opens the store in a directory below, so that nothing but `FORMAT` is ours to explain.
fn open_store(path: &Path, options: &LocalQueueOptions) -> Result<Store, QueueError> {
    check_format(path)?;
    let size = Size {
        cache_bytes: options.cache_bytes,
        journal_bytes: options.journal_bytes.max(64 << 20),
        memtable_bytes: options.memtable_bytes,
    };
    match Store::open(&path.join("store"), size, options.attempts_max.max(1)) {
        Err(QueueError::InUse { .. }) => Err(QueueError::InUse { path: path.to_owned() }),
        opened => opened,
    }
}

fn check_format(path: &Path) -> Result<(), QueueError> {
    let io = |source| QueueError::Io { path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(io)?;
    match fs::read(path.join("FORMAT")) {
        Ok(format) if format == FORMAT.as_bytes() => Ok(()),
        Ok(format) => {
            let found = String::from_utf8_lossy(&format[..format.len().min(80)]).trim().to_owned();
            let expected = FORMAT.trim();
            let detail = format!(
                "FORMAT says {found:?}, this version reads {expected:?}: use the version that wrote it, or start with an \
                 empty directory: what was waiting is found again by comparing cache and tables"
            );
            Err(QueueError::Format { path: path.to_owned(), detail })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::read_dir(path).map_err(io)?.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "FORMAT.new")) {
                let detail = "the directory is not empty and has no file FORMAT, so it is no queue: name another one";
                return Err(QueueError::Format { path: path.to_owned(), detail: detail.to_owned() });
            }
            write_format(path).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}

/// Appears whole or not at all, and before anything else.
fn write_format(path: &Path) -> io::Result<()> {
    let draft = path.join("FORMAT.new");
    let mut file = File::create(&draft)?;
    file.write_all(FORMAT.as_bytes())?;
    file.sync_all()?;
    fs::rename(draft, path.join("FORMAT"))?;
    File::open(path)?.sync_all()
}
