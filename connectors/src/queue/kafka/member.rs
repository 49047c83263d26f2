//! Group membership: the thread that polls librdkafka and turns its callbacks into events.
//!
//! The thread makes no decisions, so it keeps polling in time however long the work takes. It waits only for space in
//! the event channel and, in a rebalance, for the offsets to commit. Events go over one bounded channel, in the order
//! in which they happened; actions come back over another one and are applied between two polls. An action names the
//! assignment that it was decided for. If that assignment has ended, the thread drops the action, even if the partition
//! was assigned again.

use std::collections::BTreeMap;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use millstream_pipeline::Backoff;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::kafka::client::Observer;
use crate::kafka::errors::describe;

/// Maximum duration of one poll. While no records arrive, an action waits at most this long.
const POLL: Duration = Duration::from_millis(20);
/// Limits of one [`QueueEvent::Records`].
const BATCH_RECORDS_MAX: usize = 128;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Capacity of the event channel; when it is full, the thread waits. With the limits of a batch it bounds the records
/// that are read beyond a full window.
pub(super) const EVENTS_MAX: usize = 4;

/// One assignment of a partition to this member. The number distinguishes it from earlier and later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Assignment {
    pub(super) partition: i32,
    pub(super) number: u64,
}

/// A record of the topic, not decoded.
#[derive(Debug)]
pub(super) struct ConsumedRecord {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
}

/// An event that the thread reports.
#[derive(Debug)]
pub(super) enum QueueEvent {
    /// Records were read, in order per partition.
    Records(Vec<ConsumedRecord>),
    /// Partitions were assigned. They are paused until [`GroupAction::Resume`].
    Assigned(Vec<Assignment>),
    /// Partitions are being revoked. The group waits for the reply: the offsets to commit before the revocation. A lost
    /// partition already belongs to another member, so its offsets cannot be committed.
    Revoked { partitions: Vec<i32>, is_lost: bool, reply: oneshot::Sender<Vec<(i32, i64)>> },
    /// The group accepted a commit.
    Committed(Vec<(i32, i64)>),
    /// The group refused a commit, for some or all partitions.
    CommitFailed(KafkaError),
    /// The client cannot read: the topic is gone, an authorization is missing, a broker refuses it. A fatal client never
    /// recovers.
    PollFailed { problem: String, is_fatal: bool },
}

/// An action that the thread applies.
#[derive(Debug)]
pub(super) enum GroupAction {
    Pause(Vec<Assignment>),
    Resume(Vec<Assignment>),
    /// Commits offsets; the outcome is reported as an event.
    Commit(Vec<(Assignment, i64)>),
}

/// A member of a consumer group. The thread runs until its stop token is cancelled, then leaves the group.
pub(super) struct GroupMember {
    thread: JoinHandle<()>,
    actions: mpsc::UnboundedSender<GroupAction>,
}

impl GroupMember {
    /// Starts the thread. The thread drops `events` when it ends.
    pub(super) fn start(
        config: ClientConfig,
        topic: String,
        observer: Observer,
        events: mpsc::Sender<QueueEvent>,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let (actions, received) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new().name("work-queue".to_owned()).spawn(move || {
            let context = || Callbacks {
                topic: topic.clone(),
                observer: observer.clone(),
                events: events.clone(),
                batch: Mutex::default(),
                assignments: Mutex::default(),
            };
            if let Some(consumer) = subscribe(&config, &topic, context, &stop) {
                run(&consumer, received, &stop);
            }
        })?;
        Ok(Self { thread, actions })
    }

    /// Sends an action; it is dropped if the thread has ended.
    pub(super) fn act(&self, action: GroupAction) {
        drop(self.actions.send(action));
    }

    /// Blocks until the thread has ended. Returns `false` if it panicked.
    pub(super) fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

type MemberConsumer = BaseConsumer<Callbacks>;

/// Creates the consumer and joins the group; retries until `stop` is cancelled.
fn subscribe(
    config: &ClientConfig,
    topic: &str,
    context: impl Fn() -> Callbacks,
    stop: &CancellationToken,
) -> Option<MemberConsumer> {
    let mut backoff = Backoff::RECONNECT.attempts();
    while !stop.is_cancelled() {
        let subscribed = MemberConsumer::from_config_and_context(config, context())
            .and_then(|consumer| consumer.subscribe(&[topic]).map(|()| consumer));
        match subscribed {
            Ok(consumer) => return Some(consumer),
            Err(error) => tracing::error!(topic, %error, "failed to join the queue's group; retrying"),
        }
        std::thread::sleep(backoff.fail());
    }
    None
}

/// Polls until `stop` is cancelled. The caller then drops the consumer, which revokes its partitions through the
/// callback and leaves the group.
fn run(consumer: &MemberConsumer, mut actions: mpsc::UnboundedReceiver<GroupAction>, stop: &CancellationToken) {
    let callbacks = consumer.context();
    while !stop.is_cancelled() {
        let mut wait = POLL;
        loop {
            match consumer.poll(wait) {
                Some(Ok(message)) if callbacks.collect(&message) => {}
                Some(Ok(_)) | None => break,
                Some(Err(error)) => {
                    let fatal = consumer.client().fatal_error();
                    let problem = fatal.as_ref().map_or_else(|| describe(&error), |(_, reason)| reason.clone());
                    callbacks.send(QueueEvent::PollFailed { problem, is_fatal: fatal.is_some() });
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        callbacks.flush();
        while let Ok(action) = actions.try_recv() {
            apply(consumer, action);
        }
    }
}

fn apply(consumer: &MemberConsumer, action: GroupAction) {
    let callbacks = consumer.context();
    let result = match action {
        GroupAction::Pause(assignments) => consumer.pause(&callbacks.current_partitions(&assignments)),
        GroupAction::Resume(assignments) => consumer.resume(&callbacks.current_partitions(&assignments)),
        GroupAction::Commit(offsets) => {
            let current = offsets.into_iter().filter(|(assignment, _)| callbacks.is_current(*assignment));
            let offsets: Vec<(i32, i64)> = current.map(|(assignment, offset)| (assignment.partition, offset)).collect();
            callbacks.commit(consumer, &offsets, CommitMode::Async)
        }
    };
    callbacks.log_failure(result);
}

/// The callbacks that librdkafka runs on the thread, during a poll.
struct Callbacks {
    topic: String,
    observer: Observer,
    events: mpsc::Sender<QueueEvent>,
    batch: Mutex<Batch>,
    assignments: Mutex<Assignments>,
}

/// Records that were read but not sent yet.
#[derive(Default)]
struct Batch {
    records: Vec<ConsumedRecord>,
    bytes: usize,
}

/// The current assignments, and the number of the last one.
#[derive(Default)]
struct Assignments {
    last: u64,
    current: BTreeMap<i32, u64>,
}

impl Callbacks {
    /// Adds a record to the batch. Returns whether the batch has space for more.
    fn collect(&self, message: &BorrowedMessage<'_>) -> bool {
        let mut batch = self.batch.lock();
        batch.bytes += message.key_len() + message.payload_len();
        batch.records.push(ConsumedRecord {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
        });
        batch.records.len() < BATCH_RECORDS_MAX && batch.bytes < BATCH_BYTES_MAX
    }

    /// Sends the batch. Waits while the event channel is full.
    fn flush(&self) {
        let batch = std::mem::take(&mut *self.batch.lock());
        if !batch.records.is_empty() {
            self.send(QueueEvent::Records(batch.records));
        }
    }

    /// Sends an event; it is dropped if the consumer's task has ended.
    fn send(&self, event: QueueEvent) {
        drop(self.events.blocking_send(event));
    }

    fn is_current(&self, assignment: Assignment) -> bool {
        self.assignments.lock().current.get(&assignment.partition) == Some(&assignment.number)
    }

    /// Returns the partitions of those assignments that are still current.
    fn current_partitions(&self, assignments: &[Assignment]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(assignments.len());
        for assignment in assignments.iter().filter(|assignment| self.is_current(**assignment)) {
            list.add_partition(&self.topic, assignment.partition);
        }
        list
    }

    fn commit(&self, consumer: &MemberConsumer, offsets: &[(i32, i64)], mode: CommitMode) -> KafkaResult<()> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*offset))?;
        }
        consumer.commit(&list, mode)
    }

    /// Logs a failed operation. A refused commit is an event of its own.
    fn log_failure(&self, result: KafkaResult<()>) {
        if let Err(error) = result {
            tracing::debug!(topic = self.topic, %error, "failed to pause, resume or commit partitions of the queue");
        }
    }
}

fn partitions_of(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|element| element.partition()).collect()
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.observer.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.observer.error(error, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, consumer: &MemberConsumer, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        self.flush();
        let (partitions, is_lost) = (partitions_of(list), consumer.assignment_lost());
        let (reply, finished) = oneshot::channel();
        self.send(QueueEvent::Revoked { partitions: partitions.clone(), is_lost, reply });
        let finished = finished.blocking_recv().unwrap_or_default();
        if !is_lost {
            self.log_failure(self.commit(consumer, &finished, CommitMode::Sync));
        }
        self.assignments.lock().current.retain(|partition, _| !partitions.contains(partition));
    }

    fn post_rebalance(&self, consumer: &MemberConsumer, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else { return };
        self.flush();
        self.log_failure(consumer.pause(list));
        let assigned = {
            let mut assignments = self.assignments.lock();
            assignments.last += 1;
            let number = assignments.last;
            let partitions = partitions_of(list);
            assignments.current.extend(partitions.iter().map(|partition| (*partition, number)));
            partitions.into_iter().map(|partition| Assignment { partition, number }).collect()
        };
        self.send(QueueEvent::Assigned(assigned));
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        // A successful response may contain errors for single partitions.
        let mut refused = result.err();
        let mut committed = Vec::new();
        for element in offsets.elements() {
            match (element.error(), element.offset()) {
                (Err(error), _) => refused = refused.or(Some(error)),
                (Ok(()), Offset::Offset(offset)) if refused.is_none() => committed.push((element.partition(), offset)),
                (Ok(()), _) => {}
            }
        }
        if !committed.is_empty() {
            self.send(QueueEvent::Committed(committed));
        }
        if let Some(error) = refused {
            self.send(QueueEvent::CommitFailed(error));
        }
    }
}
