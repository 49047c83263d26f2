//! Taking part in the group: the thread that reads, commits, and lets go of partitions.
//!
//! The thread does nothing else, so that the group hears from it in time whatever the work costs. A partition that is
//! given to us is read from the moment that its quarantine is known. One that is taken from us is handed out no more;
//! what is in flight of it may end until the deadline, then what is finished is committed and everything else is
//! forgotten: the next owner reads it again. Of a partition that was lost there is nothing to wait for and to commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millstream_pipeline::queue::QueueError;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use super::asker::Mark;
use super::chores::Errand;
use super::clients;
use super::record;
use super::station::Station;
use super::topics;
use millstream_pipeline::Backoff;

/// How long one look for records takes when there are none.
const LOOK: Duration = Duration::from_millis(20);
/// While so many records that nobody can read wait to be kept aside, nothing more is read.
const REFUSED_MAX: usize = 64;

/// What the client tells between calls, on the member's own thread.
struct Callbacks {
    station: Arc<Station>,
    /// Partitions that were given to us and are not read yet.
    opening: Mutex<BTreeSet<i32>>,
    /// How far each of our partitions was committed.
    committed: Mutex<BTreeMap<i32, i64>>,
}

type MemberConsumer = BaseConsumer<Callbacks>;

/// Takes part until the station ends.
pub(super) fn run(station: &Arc<Station>, runtime: &Handle) {
    let mut backoff = Backoff::RECONNECT.attempts();
    let consumer = loop {
        match subscribe(station) {
            Ok(consumer) => break consumer,
            Err(error) => tracing::error!(topic = %station.work_topic, %error, "the queue's group cannot be joined"),
        }
        if station.stop.is_cancelled() {
            return;
        }
        std::thread::sleep(backoff.fail());
    };
    let mut next_commit = Instant::now();
    while !station.stop.is_cancelled() {
        match consumer.poll(LOOK) {
            Some(Ok(message)) => take_in(station, &message),
            Some(Err(error)) => tracing::debug!(topic = %station.work_topic, %error, "reading the queue"),
            None => {}
        }
        open_partitions(&consumer, runtime);
        keep_in_bounds(&consumer);
        if Instant::now() >= next_commit {
            commit(&consumer, &all(&consumer), CommitMode::Async);
            next_commit = Instant::now() + station.common.options.commit_interval;
        }
    }
    // Dropping the consumer lets go of what it has, by the callback, and leaves the group.
    drop(consumer);
    station.announce();
}

fn subscribe(station: &Arc<Station>) -> KafkaResult<MemberConsumer> {
    let context = Callbacks { station: Arc::clone(station), opening: Mutex::default(), committed: Mutex::default() };
    let config = clients::member(&station.common.options, &station.names.group);
    let consumer = MemberConsumer::from_config_and_context(&config, context)?;
    consumer.subscribe(&[&station.names.work])?;
    Ok(consumer)
}

fn take_in(station: &Station, message: &BorrowedMessage<'_>) {
    let (partition, offset) = (message.partition(), message.offset());
    let mut window = station.window();
    let own = |number| window.is_own_carry(partition, number);
    let read = record::arrival(message.key(), message.payload(), station.member_id, own);
    match read {
        Ok(arrival) => {
            let chore = window.take_in(partition, offset, arrival);
            drop(window);
            station.hand_over_chore(chore);
        }
        Err(error) => {
            station.counters.refused.fetch_add(1, Ordering::Relaxed);
            let topic = &station.work_topic;
            tracing::error!(%topic, partition, offset, %error, "a record of the queue cannot be read: it is kept in the quarantine topic");
            if let Some(held) = window.refuse(partition, offset) {
                let value = message.payload().map(<[u8]>::to_vec);
                station.refused.fetch_add(1, Ordering::Relaxed);
                station.hand_over(Errand::Refuse { held, value, reason: error.to_string() });
            }
        }
    }
    station.changed.notify_waiters();
}

/// Begins to read partitions that were given to us: first what stands in their quarantine, then the records.
fn open_partitions(consumer: &MemberConsumer, runtime: &Handle) {
    let callbacks = consumer.context();
    let opening: Vec<i32> = callbacks.opening().iter().copied().collect();
    if opening.is_empty() {
        return;
    }
    let station = &callbacks.station;
    let begun = match beginnings(consumer, runtime, &opening) {
        Ok(begun) => begun,
        Err(error) => {
            // They stay paused, and are tried again with the next look.
            tracing::warn!(topic = %station.work_topic, %error, "partitions of the queue cannot be read yet");
            return;
        }
    };
    for (partition, from) in begun {
        let quarantined = station.quarantine_rows(|row| row == partition);
        station.window().assign(partition, from, quarantined);
        callbacks.committed().insert(partition, from);
        callbacks.opening().remove(&partition);
    }
    if !station.full.load(Ordering::Relaxed) {
        told(station, consumer.resume(&partitions(station, &opening)));
    }
    tracing::info!(topic = %station.work_topic, partitions = ?opening, "partitions of the queue are ours");
    station.announce();
}

/// From where each partition is read: what is committed, or the beginning.
fn beginnings(consumer: &MemberConsumer, runtime: &Handle, opening: &[i32]) -> Result<Vec<(i32, i64)>, QueueError> {
    let station = &consumer.context().station;
    runtime.block_on(station.quarantine.sync())?;
    let (timeout, topic) = (station.common.options.answer_timeout, &station.names.work);
    let unavailable = |error| topics::unavailable("asking where to begin", &station.common.observer)(error);
    let committed = consumer.committed_offsets(partitions(station, opening), timeout).map_err(unavailable)?;
    let committed: BTreeMap<i32, i64> = committed
        .elements()
        .iter()
        .filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        })
        .collect();
    let marks = runtime.block_on(station.common.asker.marks(topic, opening.to_vec()))?;
    let from = |mark: Mark| (mark.partition, committed.get(&mark.partition).copied().unwrap_or(mark.low).max(mark.low));
    Ok(marks.into_iter().map(from).collect())
}

/// Stops reading while the window is full, and goes on when half of it is free.
fn keep_in_bounds(consumer: &MemberConsumer) {
    let station = &consumer.context().station;
    let (options, was_full) = (&station.common.options, station.full.load(Ordering::Relaxed));
    let (busy, delayed) = station.window().occupied();
    let share = if was_full { 2 } else { 1 };
    let refused = station.refused.load(Ordering::Relaxed);
    let is_full = busy >= (options.window_max / share).max(1)
        || delayed >= (options.delayed_max / share).max(1)
        || refused >= REFUSED_MAX / share;
    if is_full == was_full {
        return;
    }
    let owned: Vec<i32> = all(consumer);
    station.full.store(is_full, Ordering::Relaxed);
    let list = partitions(station, &owned);
    told(station, if is_full { consumer.pause(&list) } else { consumer.resume(&list) });
    station.announce();
}

fn all(consumer: &MemberConsumer) -> Vec<i32> {
    consumer.context().station.window().reads().map(|(partition, _)| partition).collect()
}

/// Commits what is finished of these partitions: never beyond the first record that is not.
fn commit(consumer: &MemberConsumer, of: &[i32], mode: CommitMode) {
    let callbacks = consumer.context();
    let station = &callbacks.station;
    let mut offsets = TopicPartitionList::new();
    {
        let (window, committed) = (station.window(), callbacks.committed());
        for (partition, finished) in window.finished().filter(|(partition, _)| of.contains(partition)) {
            // Until the group has said yes it is asked again: a question can be lost with the broker that it went to.
            if committed.get(&partition).is_none_or(|committed| finished > *committed) {
                told(station, offsets.add_partition_offset(&station.names.work, partition, Offset::Offset(finished)));
            }
        }
    }
    if offsets.count() > 0 {
        told(station, consumer.commit(&offsets, mode));
    }
}

/// Lets go of partitions that are taken from us.
fn let_go(consumer: &MemberConsumer, of: &[i32]) {
    let callbacks = consumer.context();
    let station = &callbacks.station;
    let is_lost = consumer.assignment_lost();
    station.counters.revocations.fetch_add(1, Ordering::Relaxed);
    callbacks.opening().retain(|partition| !of.contains(partition));
    station.window().hold_back(of);
    station.announce();
    if !is_lost {
        drain(station, of);
        commit(consumer, of, CommitMode::Sync);
    }
    station.window().release(of);
    callbacks.committed().retain(|partition, _| !of.contains(partition));
    tracing::info!(topic = %station.work_topic, partitions = ?of, is_lost, "let go of partitions of the queue");
    station.announce();
}

/// Waits for what is in flight of these partitions, until the deadline. Nobody settles after the end.
fn drain(station: &Station, of: &[i32]) {
    let until = Instant::now() + station.common.options.drain_deadline;
    let mut window = station.window();
    while window.in_flight(of) > 0 && !station.stop.is_cancelled() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let in_flight = window.in_flight(of);
            tracing::warn!(topic = %station.work_topic, in_flight, "what is in flight is given up: it will be done again");
            return;
        }
        window = station.wait_settled(window, left);
    }
}

fn partitions(station: &Station, partitions: &[i32]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&station.names.work, *partition);
    }
    list
}

/// What cannot be done for a partition is because it is ours no more, and the callback says so.
fn told(station: &Station, result: KafkaResult<()>) {
    if let Err(error) = result {
        tracing::debug!(topic = %station.work_topic, %error, "taking part in the queue's group");
    }
}

impl Callbacks {
    fn opening(&self) -> std::sync::MutexGuard<'_, BTreeSet<i32>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committed(&self) -> std::sync::MutexGuard<'_, BTreeMap<i32, i64>> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}

impl ClientContext for Callbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.station.common.observer.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.station.common.observer.error(error, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, consumer: &MemberConsumer, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let_go(consumer, &numbers(list));
        }
    }

    fn post_rebalance(&self, consumer: &MemberConsumer, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            told(&self.station, consumer.pause(list));
            self.opening().extend(numbers(list));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        // The answer as a whole may be fine while that for a partition is not.
        let mut refused = result.err();
        for element in offsets.elements() {
            match (element.error(), element.offset()) {
                (Err(error), _) => refused = refused.or(Some(error)),
                (Ok(()), Offset::Offset(offset)) if refused.is_none() => {
                    // Of a partition that was let go of meanwhile nothing is remembered.
                    self.committed()
                        .entry(element.partition())
                        .and_modify(|committed| *committed = offset.max(*committed));
                }
                (Ok(()), _) => {}
            }
        }
        if let Some(error) = refused {
            self.station.counters.commits_refused.fetch_add(1, Ordering::Relaxed);
            let topic = &self.station.work_topic;
            tracing::warn!(%topic, %error, "a commit was refused: what it was about may be done again");
        }
    }
}
