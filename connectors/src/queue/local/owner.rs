//! The thread that owns the store: takes commands, commits their changes in groups, and replies.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::{QueueError, SettleReport, Settled, Ticket};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};

use super::codec::CACHE_QUEUE;
use super::command::{EntriesCommand, LanesCommand, OpenedLane, QueueCommand, Reply};
use super::disk::Disk;
use super::lane::{Lane, Readiness};
use super::space::Space;
use super::store::{LaneKey, LaneStore};

/// Maximum number of commands in a group, whose changes are committed together.
const GROUP_MAX: usize = 256;

/// Interval between two looks at a full disk while changes wait for space.
const SPACE_INTERVAL: Duration = Duration::from_millis(50);

/// A reply that waits for the commit.
type PendingReply = Box<dyn FnOnce(Result<(), QueueError>) + Send>;

/// The owner thread's state.
pub(super) struct Owner {
    store: LaneStore,
    clock: Arc<dyn Clock>,
    attempts_max: u32,
    /// The number of the last take.
    takes: u64,
    /// Publishes the readiness of the cache queue and of each lane, by number. A lane's sender is dropped with the
    /// lane.
    readiness: HashMap<u16, watch::Sender<Readiness>>,
    /// Replies to the commands of the current group.
    pending: Vec<PendingReply>,
    /// The error of the first failed write. After it the queue refuses every command.
    broken: Option<String>,
    space: Space,
    /// Changes that wait for space on the disk, in order.
    waiting: VecDeque<QueueCommand>,
}

impl Owner {
    /// Returns the owner of a store that was just opened; `readiness` is that of the cache queue.
    pub(super) fn new(
        store: LaneStore,
        clock: Arc<dyn Clock>,
        attempts_max: u32,
        readiness: watch::Sender<Readiness>,
        space: Space,
    ) -> Self {
        let readiness = HashMap::from([(CACHE_QUEUE, readiness)]);
        Self {
            store,
            clock,
            attempts_max,
            takes: 0,
            readiness,
            pending: Vec::new(),
            broken: None,
            space,
            waiting: VecDeque::new(),
        }
    }

    /// Runs until a [`QueueCommand::Close`] arrives or all handles are dropped.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<QueueCommand>) {
        self.announce();
        while let Some(command) = self.wait(&mut commands) {
            let mut next = Some(command);
            let mut size = 0;
            // Looked at once, for the first change of the group.
            let mut is_low = None;
            while let Some(command) = next {
                if let QueueCommand::Close { reply } = command {
                    self.flush();
                    let closed = self.store.persist();
                    // Changes that wait for space are given up with the queue: their callers learn that it is closed.
                    drop(self);
                    send(reply, closed);
                    return;
                }
                self.accept(command, &mut is_low);
                size += 1;
                // A command beyond the group stays in the channel: it may be the close.
                next = if size < GROUP_MAX { commands.try_recv().ok() } else { None };
            }
            self.flush();
            self.sweep();
        }
        if let Err(error) = self.store.persist() {
            tracing::error!(%error, "failed to flush the dropped queue; work settled last may be repeated");
        }
    }

    /// Carries out a command, or keeps a change until the disk has space.
    fn accept(&mut self, command: QueueCommand, is_low: &mut Option<bool>) {
        let waits = command.is_change()
            && self.broken.is_none()
            && (!self.waiting.is_empty() || *is_low.get_or_insert_with(|| self.space.is_low()));
        if waits {
            self.waiting.push_back(command);
        } else {
            self.handle(command);
        }
    }

    fn handle(&mut self, command: QueueCommand) {
        match command {
            QueueCommand::Entries(number, command) => self.handle_entries(number, command),
            QueueCommand::Lanes(command) => self.handle_lanes(command),
            // Ends the loop before it gets here.
            QueueCommand::Close { .. } => {}
        }
    }

    /// Carries out the changes that waited for space, group by group, while there is some.
    fn resume(&mut self) {
        while !self.waiting.is_empty() && (self.broken.is_some() || !self.space.is_low()) {
            let size = self.waiting.len().min(GROUP_MAX);
            let group: Vec<QueueCommand> = self.waiting.drain(..size).collect();
            group.into_iter().for_each(|command| self.handle(command));
            self.flush();
        }
    }

    /// Waits for a command. Until one arrives, carries out changes that waited for space, and deletes the rows of removed
    /// lanes.
    fn wait(&mut self, commands: &mut mpsc::Receiver<QueueCommand>) -> Option<QueueCommand> {
        loop {
            self.resume();
            // A full disk is looked at until it has space again, also if nothing waits for it.
            let waits = !self.waiting.is_empty() || (self.space.was_low() && self.space.is_low());
            if !waits && !self.can_sweep() {
                return commands.blocking_recv();
            }
            match commands.try_recv() {
                Ok(command) => return Some(command),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if waits => thread::sleep(SPACE_INTERVAL),
                Err(TryRecvError::Empty) => self.sweep_some(),
            }
        }
    }

    /// Whether rows of removed lanes are left, and can be deleted.
    fn can_sweep(&self) -> bool {
        self.store.is_sweeping() && self.broken.is_none() && !self.space.is_low()
    }

    /// Deletes some rows of removed lanes, if there are any.
    fn sweep(&mut self) {
        if self.can_sweep() {
            self.sweep_some();
        }
    }

    fn sweep_some(&mut self) {
        if let Err(error) = self.store.sweep() {
            self.broken = Some(error.to_string());
        }
    }

    fn handle_entries(&mut self, number: u16, command: EntriesCommand) {
        let now_ms = self.clock.now_ms();
        match command {
            EntriesCommand::Put { work, position, reply } => {
                let staged = self.change(number, |lane, disk| lane.put(disk, work, position));
                self.defer(staged, reply);
            }
            EntriesCommand::ResetPosition { position, reply } => {
                let staged = self.change(number, |lane, _| {
                    lane.reset_position(position);
                    Ok(())
                });
                self.defer(staged, reply);
            }
            EntriesCommand::Settle { settled, reply } => {
                let staged = self.settle(number, settled, now_ms);
                self.defer(staged, reply);
            }
            EntriesCommand::LeaveQuarantine { document_ids, again, reply } => {
                let staged = self.change(number, |lane, disk| lane.leave_quarantine(disk, document_ids, again));
                self.defer(staged, reply);
            }
            EntriesCommand::Take { max, reply } => {
                let mut takes = self.takes;
                let taken = self.read(number, |lane, disk| lane.take(disk, &mut takes, max, now_ms));
                self.takes = takes;
                self.announce();
                send(reply, taken);
            }
            EntriesCommand::Position { reply } => send(reply, self.read(number, |lane, _| Ok(lane.position()))),
            EntriesCommand::Stats { reply } => send(reply, self.read(number, |lane, disk| lane.stats(disk, now_ms))),
            EntriesCommand::Quarantined { after, max, reply } => {
                send(reply, self.read(number, |lane, disk| lane.quarantined(disk, after, max)));
            }
        }
    }

    fn handle_lanes(&mut self, command: LanesCommand) {
        match command {
            LanesCommand::Add { name, reply } => {
                let added = self.change_lanes(|store| store.add_lane(&name));
                send(reply, added.map(|key| self.opened(key)));
            }
            LanesCommand::Remove { name, reply } => {
                let removed = self.change_lanes(|store| store.remove_lane(&name));
                if let Ok(Some(number)) = &removed {
                    self.readiness.remove(number);
                }
                send(reply, removed.map(|number| number.is_some()));
            }
            LanesCommand::Lane { name, reply } => {
                let found = self.read_lanes(|store| Ok(store.find(&name)));
                send(reply, found.map(|key| key.map(|key| self.opened(key))));
            }
            LanesCommand::List { reply } => send(reply, self.read_lanes(|store| Ok(store.infos()))),
            LanesCommand::SetPaused { name, paused, reply } => {
                send(reply, self.change_lanes(|store| store.set_paused(&name, paused)));
            }
            LanesCommand::SetNote { name, key, note, reply } => {
                send(reply, self.change_lanes(|store| store.set_note(&name, &key, note)));
            }
            LanesCommand::Note { name, key, reply } => send(reply, self.read_lanes(|store| store.note(&name, &key))),
        }
    }

    fn opened(&mut self, LaneKey { number, epoch }: LaneKey) -> OpenedLane {
        OpenedLane { number, epoch, readiness: self.readiness.entry(number).or_default().subscribe() }
    }

    /// Stages a change of one lane. A failed change may be staged in part and must not be committed with the rest of
    /// the group, so after it the queue refuses every command.
    fn change<T>(
        &mut self,
        number: u16,
        change: impl FnOnce(&mut Lane, &Disk) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        self.check_intact()?;
        let (lane, disk) = self.store.lane(number)?;
        change(lane, disk).inspect_err(|error| self.broken = Some(error.to_string()))
    }

    /// Stages settlements. Settlements of the cache queue also stage the work that they forward to every lane.
    fn settle(
        &mut self,
        number: u16,
        settled: Vec<(Ticket, Settled)>,
        now_ms: u64,
    ) -> Result<SettleReport, QueueError> {
        let limits = (now_ms, self.attempts_max);
        let mut deliveries = Vec::new();
        let report = self.change(number, |lane, disk| lane.settle(disk, settled, limits, &mut deliveries))?;
        if number == CACHE_QUEUE {
            self.store.deliver(&deliveries).inspect_err(|error| self.broken = Some(error.to_string()))?;
        }
        Ok(report)
    }

    /// Defers the reply until the group is committed. An error is sent at once.
    fn defer<T: Send + 'static>(&mut self, staged: Result<T, QueueError>, reply: Reply<T>) {
        match staged {
            Ok(value) => self.pending.push(Box::new(move |committed| send(reply, committed.map(|()| value)))),
            Err(error) => send(reply, Err(error)),
        }
    }

    /// Commits the group, then reads or takes from one lane.
    fn read<T>(
        &mut self,
        number: u16,
        read: impl FnOnce(&mut Lane, &Disk) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        self.flush();
        self.check_intact()?;
        let (lane, disk) = self.store.lane(number)?;
        read(lane, disk)
    }

    /// Commits the group, then reads from the set of lanes.
    fn read_lanes<T>(&mut self, read: impl FnOnce(&LaneStore) -> Result<T, QueueError>) -> Result<T, QueueError> {
        self.flush();
        self.check_intact()?;
        read(&self.store)
    }

    /// Commits the group, then changes the set of lanes. After a failed write the queue refuses every command; an
    /// unknown lane is an ordinary error.
    fn change_lanes<T>(
        &mut self,
        change: impl FnOnce(&mut LaneStore) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        self.flush();
        self.check_intact()?;
        let changed = change(&mut self.store);
        if let Err(error @ QueueError::Storage { .. }) = &changed {
            self.broken.get_or_insert(error.to_string());
        }
        self.announce();
        changed
    }

    /// Commits the group and sends its replies.
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
            pending(self.check_intact());
        }
    }

    /// Returns the error of the first failed write, if any.
    fn check_intact(&self) -> Result<(), QueueError> {
        match &self.broken {
            None => Ok(()),
            Some(detail) => Err(QueueError::Storage { action: "writing", detail: detail.clone() }),
        }
    }

    /// Publishes the readiness of lanes that changed.
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

/// Sends the reply. The caller may have been cancelled; the operation has already been applied.
fn send<T>(reply: Reply<T>, result: Result<T, QueueError>) {
    drop(reply.send(result));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::local::disk::StoreSize;
    use crate::queue::local::space::SharedProblem;
    use millstream_pipeline::ChangeKind;
    use millstream_pipeline::clock::SystemClock;
    use millstream_pipeline::queue::conformance::work;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::sync::oneshot;

    /// An owner whose disk has as many bytes free as the number says.
    fn owner(folder: &std::path::Path, free: &Arc<AtomicU64>, problem: &SharedProblem) -> Owner {
        let size = StoreSize { cache_bytes: 1 << 20, journal_bytes: 64 << 20, memtable_bytes: 1 << 20 };
        let store = LaneStore::open(folder, size).expect("a store");
        let (sender, _readiness) = watch::channel(Readiness::default());
        let free = Arc::clone(free);
        let probe = Box::new(move || Some(free.load(Ordering::Relaxed)));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let space = Space::with_probe(folder, probe, Arc::clone(&clock), Arc::clone(problem));
        Owner::new(store, clock, 1, sender, space)
    }

    #[test]
    fn a_close_behind_a_full_group_ends_the_queue() {
        let folder = tempfile::tempdir().expect("a folder");
        let owner = owner(folder.path(), &Arc::new(AtomicU64::new(u64::MAX)), &SharedProblem::default());
        let (commands, receiver) = mpsc::channel(GROUP_MAX + 1);
        for _ in 0..GROUP_MAX {
            let (reply, _) = oneshot::channel();
            let command = QueueCommand::Entries(CACHE_QUEUE, EntriesCommand::Position { reply });
            assert!(commands.try_send(command).is_ok());
        }
        let (reply, mut closed) = oneshot::channel();
        assert!(commands.try_send(QueueCommand::Close { reply }).is_ok());
        owner.run(receiver);
        assert!(matches!(closed.try_recv(), Ok(Ok(()))), "the close is confirmed");
    }

    #[test]
    fn changes_wait_for_space_on_the_disk_and_reads_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let (free, problem) = (Arc::new(AtomicU64::new(0)), SharedProblem::default());
        let owner = owner(folder.path(), &free, &problem);
        let (commands, receiver) = mpsc::channel(GROUP_MAX);
        let thread = thread::spawn(move || owner.run(receiver));
        let entries = |command| commands.blocking_send(QueueCommand::Entries(CACHE_QUEUE, command)).is_ok();
        let put = |document| {
            let (reply, stored) = oneshot::channel();
            let work = vec![work(ChangeKind::Upsert, document, 1, 1)];
            assert!(entries(EntriesCommand::Put { work, position: None, reply }));
            stored
        };
        let depth = || {
            let (reply, stats) = oneshot::channel();
            assert!(entries(EntriesCommand::Stats { reply }));
            stats.blocking_recv().expect("a reply").expect("stats").depth
        };
        let (mut first, second) = (put(1), put(2));
        assert_eq!(depth(), 0, "a read is answered, and nothing was written");
        assert!(first.try_recv().is_err(), "the change is not refused");
        assert!(problem.lock().as_ref().is_some_and(|problem| problem.text.contains("0 MiB left")));
        free.store(u64::MAX, Ordering::Relaxed);
        second.blocking_recv().expect("a reply").expect("stored");
        first.blocking_recv().expect("a reply").expect("stored");
        assert_eq!((depth(), problem.lock().is_none()), (2, true));
        free.store(0, Ordering::Relaxed);
        let given_up = put(3);
        let (reply, closed) = oneshot::channel();
        assert!(commands.blocking_send(QueueCommand::Close { reply }).is_ok());
        closed.blocking_recv().expect("a reply").expect("closed");
        assert!(given_up.blocking_recv().is_err(), "the caller learns that the queue is closed");
        thread.join().expect("the thread ends");
    }
}
