//! Handles of the queue: to the cache queue with its lanes, or to one lane.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use millstream_pipeline::Position;
use millstream_pipeline::queue::entry::Entry;
use millstream_pipeline::queue::{
    LaneInfo, Lanes, Quarantined, QueueError, QueueProblem, QueueStats, SettleReport, Settled, Taken, Ticket,
    Unreadable, Work, WorkQueue, check_name, check_note,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::consumer::Consumer;
use super::control::{ControlTopic, LaneId, retry_while_unreachable};
use super::lane_topics::LaneTopics;
use super::options::KafkaQueueOptions;
use super::producer::QueueProducer;
use super::record;
use super::table::TopicTable;
use super::topics;
use super::watermark::WatermarkClient;
use super::window::QuarantineCommand;
use super::work_topic::{ConsumerCommand, Membership, QueueContext, WorkTopic};
use crate::kafka::client::Observer;

/// A handle to a queue in Kafka that any number of processes share: to the cache queue, or to one of its lanes.
///
/// A process joins the consumer group, which assigns it partitions, with its first [`WorkQueue::take`] or
/// [`WorkQueue::ready`]. Without joining it can put work, query the queue and send operator commands. Dropping the last
/// handle stops the tasks of the process. [`KafkaQueue::close`] also leaves the group, so that the other members take
/// over at once.
#[derive(Clone)]
pub struct KafkaQueue {
    shared: Arc<SharedQueue>,
    topic: Arc<WorkTopic>,
    epoch: Uuid,
}

/// The state that the handles of one process share. Its tasks stop when the last handle is dropped.
struct SharedQueue {
    context: QueueContext,
    cache: Arc<WorkTopic>,
    lanes: Arc<LaneTopics>,
    /// Held while a lane is being opened: concurrent calls open it once.
    opening: Mutex<()>,
}

impl KafkaQueue {
    /// Opens the queue. Creates missing topics, if the options allow it, and checks existing ones; the error lists
    /// every difference. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`QueueError::Incompatible`] for options or topics that cannot be used, [`QueueError::Unavailable`] while the brokers
    /// cannot be reached.
    pub async fn open(options: KafkaQueueOptions) -> Result<Self, QueueError> {
        options.check()?;
        let options = Arc::new(options);
        let (stop, tasks, observer) = (CancellationToken::new(), TaskTracker::new(), Observer::default());
        // If a step fails, the guard stops the tasks of earlier steps.
        let guard = stop.clone().drop_guard();
        let name = options.control_topic();
        let created = topics::ensure_control(&options, &name, &observer).await?;
        let producer = Arc::new(QueueProducer::new(&options, &observer, stop.clone())?);
        let config = options.follower_config(&options.group);
        let watermarks = WatermarkClient::new(config, options.answer_timeout, &observer)?;
        let followed = (name.as_str(), options.group.as_str(), 1);
        let table = TopicTable::open(&options, followed, (&observer, &watermarks), &tasks, &stop).await?;
        let control = Arc::new(ControlTopic::new(&name, table, Arc::clone(&producer)));
        let epoch = control.epoch(created).await?;
        // Bind before joining the group: a new member is assigned work at once.
        if let Some(binding) = &options.binding {
            control.bind(binding).await?;
        }
        let names = options.cache_queue_names();
        topics::ensure_cache_queue(&options, &names, &observer).await?;
        let context = QueueContext { options, observer, watermarks, producer, control, tasks, stop };
        let lanes = Arc::new(LaneTopics::new(context.clone()));
        let (cache, ends) = WorkTopic::open(context.clone(), None, names).await?;
        Consumer::start(&cache, Some(Arc::clone(&lanes)), ends);
        drop(guard.disarm());
        let shared = SharedQueue { context, cache: Arc::clone(&cache), lanes, opening: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), topic: cache, epoch })
    }

    /// Commits finished records, releases all partitions of this process, and stops its tasks. Other members repeat the
    /// entries in flight. From then on every handle returns [`QueueError::Closed`].
    pub async fn close(&self) {
        let shared = &self.shared;
        shared.context.stop.cancel();
        for topic in shared.lanes.all().iter().chain([&shared.cache]) {
            topic.leave().await;
        }
        shared.context.tasks.close();
        shared.context.tasks.wait().await;
    }

    /// Returns this process's membership of the consumer group.
    ///
    /// # Errors
    /// When the brokers do not respond, or the lane was removed.
    pub async fn membership(&self) -> Result<Membership, QueueError> {
        let (membership, reads) = self.topic.ask(|reply| ConsumerCommand::Membership { reply }).await?;
        Ok(Membership { unread: self.topic.unread_assigned(&reads).await?, ..membership })
    }

    /// Returns the lane `name` as a handle of this type, if it exists.
    ///
    /// # Errors
    /// When the brokers do not respond, or the lane's topics cannot be used.
    pub async fn kafka_lane(&self, name: &str) -> Result<Option<Self>, QueueError> {
        let control = &self.shared.context.control;
        control.sync().await?;
        match control.lane(name)? {
            Some(lane) => self.open_lane(lane).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns a handle of a lane. Opens the lane's topic if this process has not used it yet.
    async fn open_lane(&self, lane: LaneInfo) -> Result<Self, QueueError> {
        let (shared, epoch) = (Arc::clone(&self.shared), lane.epoch);
        let _guard = self.shared.opening.lock().await;
        if let Some(topic) = shared.lanes.get(epoch) {
            return Ok(Self { shared, topic, epoch });
        }
        let context = &shared.context;
        let names = context.options.lane_names(&lane.name, epoch);
        topics::ensure_lane(&context.options, &names, &context.observer).await?;
        let (topic, ends) = WorkTopic::open(context.clone(), Some(LaneId { name: lane.name, epoch }), names).await?;
        Consumer::start(&topic, None, ends);
        shared.lanes.insert(epoch, Arc::clone(&topic));
        Ok(Self { shared, topic, epoch })
    }

    /// Runs an operation to completion, even if the caller is cancelled.
    fn run_to_end<T, F>(&self, operation: F) -> BoxFuture<'_, Result<T, QueueError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueueError>> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let task = self.shared.context.tasks.spawn(async move {
            let result = operation.await;
            drop(shared);
            result
        });
        Box::pin(async move { task.await.map_err(|_| QueueError::Closed)? })
    }

    /// Returns all quarantined entries by document. For the partitions of this process the consumer's state is newer
    /// than the quarantine topic.
    async fn all_quarantined(topic: &WorkTopic) -> Result<BTreeMap<i64, Entry>, QueueError> {
        topic.check_live()?;
        topic.quarantine.table().sync().await?;
        let (own, reads) = topic.ask(|reply| ConsumerCommand::Quarantined { reply }).await?;
        let others = topic.quarantine.entries(|partition| !reads.contains_key(&partition));
        Ok(others.into_iter().chain(own).map(|entry| (entry.work.document_id, entry)).collect())
    }

    /// Sends an operator's command for those documents that are in quarantine; returns their number.
    fn command(
        &self,
        document_ids: Vec<i64>,
        encode: fn(QuarantineCommand) -> Vec<u8>,
    ) -> BoxFuture<'_, Result<u64, QueueError>> {
        let topic = Arc::clone(&self.topic);
        self.run_to_end(async move {
            let wanted: BTreeSet<i64> = document_ids.into_iter().collect();
            let all = Self::all_quarantined(&topic).await?;
            let selected = all.iter().filter(|(document_id, _)| wanted.contains(document_id));
            let commands: Vec<QuarantineCommand> = selected
                .map(|(document_id, entry)| QuarantineCommand {
                    document_id: *document_id,
                    last_failed_at_ms: entry.failure.as_ref().map_or(0, |failure| failure.last_ms),
                })
                .collect();
            topic.command(&commands, encode).await?;
            Ok(commands.len() as u64)
        })
    }

    /// Waits until an entry can be taken. Joins the group first.
    async fn wait_until_ready(&self) -> Result<(), QueueError> {
        let topic = &self.topic;
        topic.ask(|reply| ConsumerCommand::Join { reply }).await??;
        let clock = &self.shared.context.options.clock;
        let mut control = self.shared.context.control.changes();
        let mut progress = topic.progress.clone();
        loop {
            control.borrow_and_update();
            let next_ms = progress.borrow_and_update().next_ms;
            topic.check_live()?;
            let (next_ms, now_ms) = (if topic.is_paused()? { None } else { next_ms }, clock.now_ms());
            let due = match next_ms {
                Some(next_ms) if next_ms <= now_ms => return Ok(()),
                Some(next_ms) => clock.sleep(Duration::from_millis(next_ms - now_ms)),
                None => Box::pin(std::future::pending()),
            };
            tokio::select! {
                changed = progress.changed() => {
                    changed.map_err(|_| topic.check_live().err().unwrap_or(QueueError::Closed))?;
                }
                () = due => {}
                changed = control.changed() => changed.map_err(|_| QueueError::Closed)?,
                () = topic.stop.cancelled() => {}
            }
        }
    }
}

impl Drop for SharedQueue {
    fn drop(&mut self) {
        self.context.stop.cancel();
    }
}

impl fmt::Debug for KafkaQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaQueue").field("names", &self.topic.names).finish_non_exhaustive()
    }
}

impl WorkQueue for KafkaQueue {
    fn put(&self, work: Vec<Work>, position: Option<Position>) -> BoxFuture<'_, Result<(), QueueError>> {
        let topic = Arc::clone(&self.topic);
        self.run_to_end(async move { topic.put(&work, position).await })
    }

    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>> {
        Box::pin(async move {
            let max = if self.topic.is_paused()? { 0 } else { max };
            self.topic.ask(|reply| ConsumerCommand::Take { max, reply }).await?
        })
    }

    fn settle(&self, settled: Vec<(Ticket, Settled)>) -> BoxFuture<'_, Result<SettleReport, QueueError>> {
        Box::pin(async move { self.topic.ask(|reply| ConsumerCommand::Settle { settled, reply }).await? })
    }

    fn problem(&self) -> Option<QueueProblem> {
        self.topic.problem.lock().clone()
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(self.wait_until_ready())
    }

    fn position(&self) -> BoxFuture<'_, Result<Option<Position>, QueueError>> {
        Box::pin(async move {
            let context = &self.shared.context;
            retry_while_unreachable(&context.stop, || context.control.sync()).await?;
            self.topic.check_live()?;
            context.control.position(self.topic.lane.as_ref())
        })
    }

    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>> {
        let (context, topic) = (self.shared.context.clone(), Arc::clone(&self.topic));
        self.run_to_end(async move {
            topic.check_live()?;
            retry_while_unreachable(&context.stop, || context.control.reset(topic.lane.as_ref(), position)).await
        })
    }

    fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Counts the entries that this process has read, and one entry for every record that it has not read.
    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        Box::pin(async move {
            let topic = &self.topic;
            let (mut stats, reads) = topic.ask(|reply| ConsumerCommand::Stats { reply }).await?;
            let unread = topic.unread(&reads).await?;
            (stats.depth, stats.ages_unknown) = (stats.depth + unread, unread > 0);
            if reads.len() < self.shared.context.options.partitions as usize {
                topic.quarantine.table().sync().await?;
                let others = topic.quarantine.entries(|partition| !reads.contains_key(&partition));
                stats.quarantined += others.len() as u64;
            }
            stats.unreadable = topic.quarantine.unreadable_count();
            Ok(stats)
        })
    }

    fn quarantined(&self, after: Option<i64>, max: usize) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>> {
        Box::pin(async move {
            let all = Self::all_quarantined(&self.topic).await?;
            let rest = all.into_iter().filter(|(document_id, _)| after.is_none_or(|after| *document_id > after));
            Ok(rest.take(max).map(|(_, entry)| Quarantined::from(entry)).collect())
        })
    }

    fn unreadable(&self) -> BoxFuture<'_, Result<Vec<Unreadable>, QueueError>> {
        Box::pin(async move {
            self.topic.check_live()?;
            self.topic.quarantine.table().sync().await?;
            Ok(self.topic.quarantine.unreadable())
        })
    }

    fn discard_unreadable(&self, places: Vec<String>) -> BoxFuture<'_, Result<u64, QueueError>> {
        let topic = Arc::clone(&self.topic);
        self.run_to_end(async move {
            topic.check_live()?;
            topic.quarantine.table().sync().await?;
            let tombstones = topic.quarantine.unreadable_tombstones(&places);
            let written = topic.write(&tombstones).await?;
            topic.quarantine.reach(&written).await?;
            Ok(tombstones.len() as u64)
        })
    }

    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        self.command(document_ids, record::release)
    }

    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        self.command(document_ids, record::discard)
    }
}

impl Lanes for KafkaQueue {
    fn add_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn WorkQueue>, QueueError>> {
        Box::pin(async move {
            check_name(name)?;
            let lane = self.shared.context.control.add_lane(name).await?;
            Ok(Arc::new(self.open_lane(lane).await?) as Arc<dyn WorkQueue>)
        })
    }

    fn remove_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, QueueError>> {
        let (name, shared) = (name.to_owned(), Arc::clone(&self.shared));
        self.run_to_end(async move {
            let context = &shared.context;
            let Some(LaneId { name, epoch }) = context.control.remove_lane(&name).await? else { return Ok(false) };
            if let Some(topic) = shared.lanes.remove(epoch) {
                topic.leave().await;
            }
            let names = context.options.lane_names(&name, epoch);
            topics::delete(&context.options, &names, &context.observer).await?;
            Ok(true)
        })
    }

    fn lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn WorkQueue>>, QueueError>> {
        Box::pin(async move { Ok(self.kafka_lane(name).await?.map(|lane| Arc::new(lane) as Arc<dyn WorkQueue>)) })
    }

    fn lanes(&self) -> BoxFuture<'_, Result<Vec<LaneInfo>, QueueError>> {
        Box::pin(async move {
            self.shared.context.control.sync().await?;
            self.shared.context.control.lanes()
        })
    }

    fn set_paused<'a>(&'a self, name: &'a str, paused: bool) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(self.shared.context.control.set_paused(name, paused))
    }

    fn set_note<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        note: Option<Vec<u8>>,
    ) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move {
            check_note(key, note.as_ref())?;
            self.shared.context.control.set_note(name, key, note).await
        })
    }

    fn note<'a>(&'a self, name: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, QueueError>> {
        Box::pin(self.shared.context.control.note(name, key))
    }
}
