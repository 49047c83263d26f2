//! The thread that owns the store: takes commands, commits what they change together, and answers.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::lane::Readiness;
use super::store::{Grant, Store};
use millstream_pipeline::Position;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::{
    LaneInfo, Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Work,
};

/// How many commands are worked off before their changes are committed.
const GROUP_MAX: usize = 256;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, QueueError>>;

/// What the owner is asked to do.
pub(super) enum Command {
    /// Something with the entries of the stage or of a lane, which is named by its number.
    Entries(u16, EntriesCommand),
    /// Something with the lanes.
    Lanes(LanesCommand),
    Close {
        reply: Reply<()>,
    },
}

pub(super) enum EntriesCommand {
    Put { work: Vec<Work>, position: Option<Position>, reply: Reply<()> },
    ResetPosition { position: Position, reply: Reply<()> },
    Settle { settled: Vec<(Ticket, Settled)>, reply: Reply<SettleReport> },
    LeaveQuarantine { document_ids: Vec<i64>, again: bool, reply: Reply<u64> },
    Take { max: usize, reply: Reply<Vec<Taken>> },
    Position { reply: Reply<Option<Position>> },
    Stats { reply: Reply<QueueStats> },
    Quarantined { after: Option<i64>, max: usize, reply: Reply<Vec<Quarantined>> },
}

pub(super) enum LanesCommand {
    Add { name: String, reply: Reply<Granted> },
    Remove { name: String, reply: Reply<bool> },
    Lane { name: String, reply: Reply<Option<Granted>> },
    List { reply: Reply<Vec<LaneInfo>> },
    SetPaused { name: String, paused: bool, reply: Reply<()> },
    SetNote { name: String, key: String, note: Option<Vec<u8>>, reply: Reply<()> },
    Note { name: String, key: String, reply: Reply<Option<Vec<u8>>> },
}

/// What a handle to a lane needs.
pub(super) struct Granted {
    pub(super) number: u16,
    pub(super) epoch: Uuid,
    pub(super) readiness: watch::Receiver<Readiness>,
}

/// An answer that waits for the commit.
type Pending = Box<dyn FnOnce(Result<(), QueueError>) + Send>;

/// The owner's state.
pub(super) struct Owner {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Of the stage and of each lane; dropped with the lane.
    readiness: HashMap<u16, watch::Sender<Readiness>>,
    pending: Vec<Pending>,
    /// What the first failed write said; nothing is accepted after it.
    broken: Option<String>,
}

impl Owner {
    /// The owner of a store that was just opened; `stage` is where the stage's readiness is told.
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>, stage: watch::Sender<Readiness>) -> Self {
        let mut numbers = store.numbers().into_iter();
        let stage = numbers.next().map(|number| (number, stage));
        let lanes = numbers.map(|number| (number, watch::Sender::default()));
        Self { readiness: stage.into_iter().chain(lanes).collect(), store, clock, pending: Vec::new(), broken: None }
    }

    /// Works until it is told to close or nobody can ask any more.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        self.announce();
        while let Some(command) = self.wait(&mut commands) {
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
            self.sweep();
        }
        if let Err(error) = self.store.persist() {
            tracing::error!(%error, "the queue was dropped, and what was settled last may be done again");
        }
    }

    /// Waits for a command, and clears away removed lanes until there is one.
    fn wait(&mut self, commands: &mut mpsc::Receiver<Command>) -> Option<Command> {
        while self.store.is_sweeping() && self.broken.is_none() {
            match commands.try_recv() {
                Ok(command) => return Some(command),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.sweep(),
            }
        }
        commands.blocking_recv()
    }

    fn sweep(&mut self) {
        if self.store.is_sweeping()
            && self.broken.is_none()
            && let Err(error) = self.store.sweep()
        {
            self.broken = Some(error.to_string());
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Entries(number, command) => self.handle_entries(number, command),
            Command::Lanes(command) => self.handle_lanes(command),
            Command::Close { reply } => answer(reply, Err(QueueError::Closed)),
        }
    }

    fn handle_entries(&mut self, number: u16, command: EntriesCommand) {
        match command {
            EntriesCommand::Put { work, position, reply } => {
                let staged = self.change(number, |store, _| store.put(number, work, position));
                self.defer(staged, reply);
            }
            EntriesCommand::ResetPosition { position, reply } => {
                let staged = self.change(number, |store, _| store.set_position(number, position));
                self.defer(staged, reply);
            }
            EntriesCommand::Settle { settled, reply } => {
                let staged = self.change(number, |store, now_ms| store.settle(number, settled, now_ms));
                self.defer(staged, reply);
            }
            EntriesCommand::LeaveQuarantine { document_ids, again, reply } => {
                let staged = self.change(number, |store, _| store.leave_quarantine(number, document_ids, again));
                self.defer(staged, reply);
            }
            EntriesCommand::Take { max, reply } => {
                let taken = self.look(|store, now_ms| store.take(number, max, now_ms));
                self.announce();
                answer(reply, taken);
            }
            EntriesCommand::Position { reply } => answer(reply, self.look(|store, _| store.position(number))),
            EntriesCommand::Stats { reply } => answer(reply, self.look(|store, now_ms| store.stats(number, now_ms))),
            EntriesCommand::Quarantined { after, max, reply } => {
                answer(reply, self.look(|store, _| store.quarantined(number, after, max)));
            }
        }
    }

    fn handle_lanes(&mut self, command: LanesCommand) {
        match command {
            LanesCommand::Add { name, reply } => {
                let grant = self.rearrange(|store| store.add_lane(&name));
                answer(reply, grant.map(|grant| self.granted(grant)));
            }
            LanesCommand::Remove { name, reply } => {
                let removed = self.rearrange(|store| store.remove_lane(&name));
                if let Ok(Some(number)) = &removed {
                    self.readiness.remove(number);
                }
                answer(reply, removed.map(|number| number.is_some()));
            }
            LanesCommand::Lane { name, reply } => {
                let grant = self.look(|store, _| Ok(store.named(&name)));
                answer(reply, grant.map(|grant| grant.map(|grant| self.granted(grant))));
            }
            LanesCommand::List { reply } => answer(reply, self.look(|store, _| Ok(store.lanes()))),
            LanesCommand::SetPaused { name, paused, reply } => {
                let set = self.rearrange(|store| store.set_paused(&name, paused));
                answer(reply, set);
            }
            LanesCommand::SetNote { name, key, note, reply } => {
                answer(reply, self.rearrange(|store| store.set_note(&name, &key, note)));
            }
            LanesCommand::Note { name, key, reply } => answer(reply, self.look(|store, _| store.note(&name, &key))),
        }
    }

    fn granted(&mut self, Grant { number, epoch }: Grant) -> Granted {
        Granted { number, epoch, readiness: self.readiness.entry(number).or_default().subscribe() }
    }

    /// Stages a change. One that fails half way would leave the rest of its group in doubt, so it breaks the queue.
    fn change<T>(
        &mut self,
        number: u16,
        change: impl FnOnce(&mut Store, u64) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        self.intact()?;
        self.store.has(number)?;
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

    /// Commits what is staged, then changes what the lanes are. A write that fails breaks the queue; a lane that is not
    /// there does not.
    fn rearrange<T>(&mut self, change: impl FnOnce(&mut Store) -> Result<T, QueueError>) -> Result<T, QueueError> {
        let changed = self.look(|store, _| change(store));
        if let Err(error @ QueueError::Storage { .. }) = &changed {
            self.broken.get_or_insert(error.to_string());
        }
        self.announce();
        changed
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

    /// Tells those who wait when there is something to take.
    fn announce(&mut self) {
        let now_ms = self.clock.now_ms();
        for (number, readiness) in self.store.changed_readiness(now_ms) {
            self.readiness.entry(number).or_default().send_if_modified(|current| {
                let changed = *current != readiness;
                *current = readiness;
                changed
            });
        }
    }
}

/// Answers; whoever asked may have stopped waiting, and the deed is done all the same.
fn answer<T>(reply: Reply<T>, result: Result<T, QueueError>) {
    drop(reply.send(result));
}
