//! The consumer of one work topic: the task that owns the window.
//!
//! It receives events of the group's thread ([`super::member`]) and commands of callers, and never waits for a broker: a
//! write is a future that the task polls beside its channels, and whose outcome it applies to the window. The arms of its
//! `select!` are tried in this order:
//!
//! 1. The end of the queue.
//! 2. The deadline of a revocation, because the group waits for it.
//! 3. The tick of the periodic writes: commit, stragglers, truncation. It is due once per interval, so it cannot starve
//!    the others.
//! 4. Outcomes of writes. They are bounded by the writes that were started, and free space in the window.
//! 5. Events of the group. After each one, some waiting commands are served, so that a backlog of records does not starve
//!    callers.
//! 6. Commands.
//!
//! # Rebalances
//! An assigned partition stays paused until its quarantine and its committed offset are known. Of a revoked partition
//! nothing is handed out any more; entries in flight may be settled until the drain deadline, then the finished offsets
//! are committed and the rest is forgotten: the next owner reads it again. A lost partition belongs to another member
//! already, so there is nothing to wait for and nothing to commit.

mod partitions;
mod writes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use millstream_pipeline::queue::{QueueError, QueueProblem, SettleReport, Taken};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::lane_topics::LaneTopics;
use super::member::{Assignment, ConsumedRecord, EVENTS_MAX, GroupAction, GroupMember, QueueEvent};
use super::producer::Written;
use super::record;
use super::window::settling::Settling;
use super::window::{Carry, HeldRecord, Window};
use super::work_topic::{ConsumerCommand, ConsumerEnds, Membership, Progress, WorkTopic};

/// Commands served after each event.
const COMMANDS_PER_EVENT: usize = 64;
/// Unreadable records that wait to be copied to the quarantine topic before reading stops: their values are in memory.
const UNREADABLE_MAX: usize = 64;
/// Interval between log lines about a topic that cannot be read.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Partitions that the group wants back.
struct Revocation {
    partitions: Vec<i32>,
    until: Instant,
    /// Takes the finished offsets.
    reply: oneshot::Sender<Vec<(i32, i64)>>,
}

/// Settlements of one command on their way: lanes and carried entries first, the quarantine last.
struct SettleBatch {
    settlings: Vec<Settling>,
    carried: Vec<Option<Written>>,
    report: SettleReport,
    reply: oneshot::Sender<Result<SettleReport, QueueError>>,
}

/// A reason to write to the quarantine topic. One write at a time, with the state of the window when it starts, or an
/// older state could overwrite a newer one.
enum QuarantineWrite {
    Mirror { document_id: i64, number: u64 },
    Forget { document_id: i64, held: HeldRecord },
    Settle(SettleBatch),
}

/// The result of a future that the task polls.
enum WriteOutcome {
    /// Partitions can be read, each from an offset.
    Opened(Vec<Assignment>, Vec<(i32, i64)>),
    SettleWritten(SettleBatch, Result<(), QueueError>),
    QuarantineWritten(Vec<QuarantineWrite>, Result<(), QueueError>),
    UnreadableKept(HeldRecord, Result<(), QueueError>),
    Carried(Vec<Carry>, Result<Vec<Option<Written>>, QueueError>),
    Truncated(Result<BTreeMap<i32, i64>, QueueError>),
    /// Nothing is left to be done.
    Ended,
}

/// Background writes: those that consumed records require, and periodic ones.
#[derive(Default)]
struct MaintenanceState {
    quarantine: VecDeque<QuarantineWrite>,
    is_quarantine_busy: bool,
    is_carrying: bool,
    is_truncating: bool,
    truncated: BTreeMap<i32, i64>,
    /// Unreadable records that are being copied.
    unreadable: usize,
}

/// The state of the task.
pub(super) struct Consumer {
    topic: Arc<WorkTopic>,
    /// Every lane of the queue, for the cache queue's consumer.
    lanes: Option<Arc<LaneTopics>>,
    window: Window,
    progress: watch::Sender<Progress>,
    is_full: bool,
    /// The sending end of `events`, until the group is joined.
    unjoined: Option<mpsc::Sender<QueueEvent>>,
    member: Option<GroupMember>,
    assignments: BTreeMap<i32, u64>,
    /// The committed offset of each partition that is read.
    committed: BTreeMap<i32, i64>,
    revocation: Option<Revocation>,
    writes: FuturesUnordered<BoxFuture<'static, WriteOutcome>>,
    maintenance: MaintenanceState,
    next_tick: Instant,
    next_truncation: Instant,
    /// When a failure to read is logged again.
    next_warning: Instant,
    counters: Membership,
}

impl Consumer {
    /// Starts the task. It joins the group with the first command that needs it.
    pub(super) fn start(topic: &Arc<WorkTopic>, lanes: Option<Arc<LaneTopics>>, ends: ConsumerEnds) {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let options = &topic.context.options;
        let consumer = Self {
            topic: Arc::clone(topic),
            lanes,
            window: Window::default(),
            progress: ends.progress,
            is_full: false,
            unjoined: Some(sender),
            member: None,
            assignments: BTreeMap::new(),
            committed: BTreeMap::new(),
            revocation: None,
            writes: FuturesUnordered::new(),
            maintenance: MaintenanceState::default(),
            next_tick: Instant::now() + options.commit_interval,
            next_truncation: Instant::now() + options.trim_interval,
            next_warning: Instant::now(),
            counters: Membership { partitions: options.partitions, ..Membership::default() },
        };
        // Should the task panic, the group's thread leaves the group: other processes get the partitions.
        let (ended, stop) = (topic.ended.clone().drop_guard(), topic.stop.clone().drop_guard());
        topic.context.tasks.spawn(async move {
            consumer.run(events, ends.commands).await;
            drop((stop, ended));
        });
    }

    async fn run(mut self, mut events: mpsc::Receiver<QueueEvent>, mut commands: mpsc::Receiver<ConsumerCommand>) {
        let stop = self.topic.stop.clone();
        loop {
            let drain_until = self.revocation.as_ref().map(|revocation| revocation.until);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep_until(drain_until) => self.give_up_draining(),
                () = tokio::time::sleep_until(self.next_tick), if self.member.is_some() => self.tick(),
                Some(outcome) = self.writes.next(), if !self.writes.is_empty() => self.apply(outcome),
                event = events.recv() => {
                    let Some(event) = event else {
                        tracing::error!(topic = %self.topic.name, "the thread of the queue's group has ended");
                        stop.cancel();
                        break;
                    };
                    self.handle_event(event);
                    for _ in 0..COMMANDS_PER_EVENT {
                        let Ok(command) = commands.try_recv() else { break };
                        self.handle_command(command);
                    }
                }
                Some(command) = commands.recv() => self.handle_command(command),
            }
            self.update();
        }
        drop(commands);
        self.shut_down(events).await;
    }

    /// Answers the thread until it has left the group, and ends what is being written.
    async fn shut_down(mut self, mut events: mpsc::Receiver<QueueEvent>) {
        self.unjoined = None;
        self.finish_revocation();
        let mut is_member = true;
        while is_member || !self.writes.is_empty() {
            tokio::select! {
                event = events.recv(), if is_member => match event {
                    Some(QueueEvent::Revoked { partitions, is_lost, reply }) => self.revoke(partitions, is_lost, reply),
                    // Records read now belong to the next owner.
                    Some(_) => {}
                    None => is_member = false,
                },
                Some(outcome) = self.writes.next(), if !self.writes.is_empty() => self.apply(outcome),
            }
        }
        if let Some(member) = self.member.take()
            && !matches!(tokio::task::spawn_blocking(move || member.join()).await, Ok(true))
        {
            tracing::error!(topic = %self.topic.name, "the thread of the queue's group panicked");
        }
    }

    fn handle_command(&mut self, command: ConsumerCommand) {
        let now_ms = self.topic.context.options.clock.now_ms();
        match command {
            ConsumerCommand::Join { reply } => drop(reply.send(self.join())),
            ConsumerCommand::Take { max, reply } => {
                let taken = self.join().map(|()| self.window.take(max, now_ms));
                self.update();
                self.hand_out(taken, reply);
            }
            ConsumerCommand::Settle { settled, reply } => self.settle(settled, now_ms, reply),
            ConsumerCommand::Stats { reply } => drop(reply.send((self.window.stats(now_ms), self.reads()))),
            ConsumerCommand::Membership { reply } => {
                let owned = self.window.reads().map(|(partition, _)| partition).collect();
                drop(reply.send((Membership { owned, ..self.counters.clone() }, self.reads())));
            }
            ConsumerCommand::Quarantined { reply } => {
                drop(reply.send((self.window.quarantined().cloned().collect(), self.reads())));
            }
        }
    }

    /// Sends entries that were taken. If the caller was cancelled, they wait again.
    fn hand_out(
        &mut self,
        taken: Result<Vec<Taken>, QueueError>,
        reply: oneshot::Sender<Result<Vec<Taken>, QueueError>>,
    ) {
        if let Err(Ok(taken)) = reply.send(taken) {
            taken.iter().for_each(|taken| self.window.put_back(taken.ticket));
        }
    }

    fn reads(&self) -> BTreeMap<i32, i64> {
        self.window.reads().collect()
    }

    /// Joins the group, once.
    fn join(&mut self) -> Result<(), QueueError> {
        let Some(events) = self.unjoined.take() else { return Ok(()) };
        let (context, names) = (&self.topic.context, &self.topic.names);
        let config = context.options.member_config(&names.group);
        let (observer, stop) = (context.observer.clone(), self.topic.stop.clone());
        match GroupMember::start(config, names.work.clone(), observer, events.clone(), stop) {
            Ok(member) => {
                self.member = Some(member);
                Ok(())
            }
            Err(error) => {
                self.unjoined = Some(events);
                Err(QueueError::Storage { action: "starting a member", detail: error.to_string() })
            }
        }
    }

    fn handle_event(&mut self, event: QueueEvent) {
        match event {
            QueueEvent::Records(records) => {
                *self.topic.problem.lock() = None;
                records.into_iter().for_each(|record| self.take_in(record));
            }
            QueueEvent::Assigned(assigned) => {
                *self.topic.problem.lock() = None;
                self.open(assigned);
            }
            QueueEvent::Revoked { partitions, is_lost, reply } => self.revoke(partitions, is_lost, reply),
            QueueEvent::Committed(offsets) => {
                for (partition, offset) in offsets {
                    // A partition that was released meanwhile is not in the map.
                    self.committed.entry(partition).and_modify(|committed| *committed = offset.max(*committed));
                }
            }
            QueueEvent::CommitFailed(error) => {
                self.counters.commits_refused += 1;
                tracing::warn!(topic = %self.topic.name, %error, "a commit was refused; its records may be processed again");
            }
            QueueEvent::PollFailed { problem, is_fatal } => self.poll_failed(problem, is_fatal),
        }
    }

    /// Keeps the problem for `status`, and logs it once per interval. A client that has given up ends the queue: a new
    /// process starts with a new one.
    fn poll_failed(&mut self, problem: String, is_fatal: bool) {
        let (topic, context) = (&self.topic.name, &self.topic.context);
        if is_fatal {
            tracing::error!(%topic, problem, "the client of the queue's group gave up; closing the queue");
            context.stop.cancel();
        } else if self.next_warning <= Instant::now() {
            self.next_warning = Instant::now() + WARNING_INTERVAL;
            tracing::warn!(%topic, problem, "failed to read the queue's topic; retrying");
        }
        let text = format!("the topic {topic} cannot be read: {problem}");
        *self.topic.problem.lock() = Some(QueueProblem { at_ms: context.options.clock.now_ms(), text });
    }

    fn take_in(&mut self, record: ConsumedRecord) {
        let ConsumedRecord { partition, offset, key, value } = record;
        if !self.window.owns(partition) {
            return self.refuse_early(partition);
        }
        let is_own = |number| self.window.is_own_carry(partition, number);
        let arrival = record::arrival(key.as_deref(), value.as_deref(), self.topic.member_id, is_own);
        match arrival {
            Ok(arrival) => {
                let write = self.window.take_in(partition, offset, arrival);
                self.require(write);
            }
            Err(error) => {
                self.counters.refused += 1;
                let topic = &self.topic.name;
                tracing::error!(%topic, partition, offset, %error, "failed to read a record of the queue; keeping it in the quarantine topic");
                if let Some(held) = self.window.refuse(partition, offset) {
                    self.keep_unreadable(held, value, error.to_string());
                }
            }
        }
    }

    /// Drops a record of a partition that was released. A record of an assigned partition that is not open yet would be
    /// lost, since reading goes on behind it: the queue ends, and the next owner reads the record again.
    fn refuse_early(&self, partition: i32) {
        if self.assignments.contains_key(&partition) && !self.topic.stop.is_cancelled() {
            tracing::error!(topic = %self.topic.name, partition, "a record arrived before its partition was opened; closing the queue");
            self.topic.context.stop.cancel();
        }
    }

    fn act(&self, action: GroupAction) {
        if let Some(member) = &self.member {
            member.act(action);
        }
    }

    /// Publishes the progress. Called before a reply too, so that a caller never sees an older state than its reply.
    fn update(&mut self) {
        self.limit_reading();
        let (is_full, next_ms) = (self.is_full, self.window.next_ms());
        let reads: BTreeMap<i32, i64> = self.window.active_reads().collect();
        let progress = Progress { reads, is_full, next_ms };
        self.progress.send_if_modified(|known| {
            let is_changed = *known != progress;
            *known = progress;
            is_changed
        });
    }
}

/// Sleeps until a deadline, if there is one.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
