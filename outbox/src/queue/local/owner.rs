//! The thread that owns the store: takes commands, commits what they change together, and answers.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::store::{Readiness, Store};
use crate::Position;
use crate::clock::Clock;
use crate::queue::{Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Work};

/// How many commands are worked off before their changes are committed.
const GROUP_MAX: usize = 256;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// What the owner is asked to do.
pub(super) enum Command {
    Put { work: Vec<Work>, position: Option<Position>, reply: Reply<()> },
    ResetPosition { position: Position, reply: Reply<()> },
    Settle { settled: Vec<(Ticket, Settled)>, reply: Reply<SettleReport> },
    LeaveQuarantine { document_ids: Vec<i64>, again: bool, reply: Reply<u64> },
    Take { max: usize, reply: Reply<Vec<Taken>> },
    Position { reply: Reply<Option<Position>> },
    Stats { reply: Reply<QueueStats> },
    Quarantined { after: Option<i64>, max: usize, reply: Reply<Vec<Quarantined>> },
    Close { reply: Reply<()> },
}

/// An answer that waits for the commit.
type Pending = Box<dyn FnOnce(Result<(), QueueError>) + Send>;

/// The owner's state.
pub(super) struct Owner {
    store: Store,
    clock: Arc<dyn Clock>,
    readiness: watch::Sender<Readiness>,
    pending: Vec<Pending>,
    /// What the first failed write said; nothing is accepted after it.
    broken: Option<String>,
}

impl Owner {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>, readiness: watch::Sender<Readiness>) -> Self {
        Self { store, clock, readiness, pending: Vec::new(), broken: None }
    }

    /// Works until it is told to close or nobody can ask any more.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        self.announce();
        while let Some(command) = commands.blocking_recv() {
            let mut next = Some(command);
            for _ in 0..GROUP_MAX {
                let Some(command) = next else { break };
                if let Command::Close { reply } = command {
                    self.flush();
                    let closed = self.store.persist();
                    drop(self);
                    answer(reply, closed);
                    return;
                }
                self.handle(command);
                next = commands.try_recv().ok();
            }
            if let Some(command) = next {
                self.handle(command);
            }
            self.flush();
        }
        if let Err(error) = self.store.persist() {
            tracing::error!(%error, "the queue was dropped, and what was settled last may be done again");
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Put { work, position, reply } => {
                let staged = self.change(|store, _| store.put(work, position));
                self.defer(staged, reply);
            }
            Command::ResetPosition { position, reply } => {
                let staged = self.change(|store, _| {
                    store.set_position(position);
                    Ok(())
                });
                self.defer(staged, reply);
            }
            Command::Settle { settled, reply } => {
                let staged = self.change(|store, now_ms| store.settle(settled, now_ms));
                self.defer(staged, reply);
            }
            Command::LeaveQuarantine { document_ids, again, reply } => {
                let staged = self.change(|store, _| store.leave_quarantine(document_ids, again));
                self.defer(staged, reply);
            }
            Command::Take { max, reply } => {
                let taken = self.look(|store, now_ms| store.take(max, now_ms));
                self.announce();
                answer(reply, taken);
            }
            Command::Position { reply } => answer(reply, self.look(|store, _| Ok(store.position()))),
            Command::Stats { reply } => answer(reply, self.look(|store, now_ms| store.stats(now_ms))),
            Command::Quarantined { after, max, reply } => {
                answer(reply, self.look(|store, _| store.quarantined(after, max)));
            }
            Command::Close { reply } => answer(reply, Err(QueueError::Closed)),
        }
    }

    /// Stages a change. One that fails half way would leave the rest of its group in doubt, so it breaks the queue.
    fn change<T>(&mut self, change: impl FnOnce(&mut Store, u64) -> Result<T, QueueError>) -> Result<T, QueueError> {
        self.intact()?;
        let now_ms = self.clock.now_ms();
        change(&mut self.store, now_ms).inspect_err(|error| self.broken = Some(error.to_string()))
    }

    /// Answers with `staged` once it is committed.
    fn defer<T: Send + 'static>(&mut self, staged: Result<T, QueueError>, reply: Reply<T>) {
        match staged {
            Ok(value) => self.pending.push(Box::new(move |committed| answer(reply, committed.map(|()| value)))),
            Err(error) => answer(reply, Err(error)),
        }
    }

    /// Commits what is staged, then looks.
    fn look<T>(&mut self, look: impl FnOnce(&mut Store, u64) -> Result<T, QueueError>) -> Result<T, QueueError> {
        self.flush();
        self.intact()?;
        let now_ms = self.clock.now_ms();
        look(&mut self.store, now_ms)
    }

    /// Commits what is staged and answers everybody who waits for it.
    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if self.broken.is_none()
            && let Err(error) = self.store.commit()
        {
            self.broken = Some(error.to_string());
        }
        self.announce();
        for pending in std::mem::take(&mut self.pending) {
            pending(self.intact());
        }
    }

    fn intact(&self) -> Result<(), QueueError> {
        match &self.broken {
            None => Ok(()),
            Some(detail) => Err(QueueError::Storage { action: "writing", detail: detail.clone() }),
        }
    }

    /// Tells those who wait when there is something to take. If that cannot be read, taking will say why.
    fn announce(&self) {
        let readiness = self.store.readiness(self.clock.now_ms()).unwrap_or(Readiness { now: true, due_ms: None });
        self.readiness.send_if_modified(|current| {
            let changed = *current != readiness;
            *current = readiness;
            changed
        });
    }
}

/// Answers; whoever asked may have stopped waiting, and the deed is done all the same.
fn answer<T>(reply: Reply<T>, result: Result<T, QueueError>) {
    drop(reply.send(result));
}
