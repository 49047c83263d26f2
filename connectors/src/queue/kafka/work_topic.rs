//! One work topic, the cache queue's or a lane's, as the handles and the consumer of this process share it: whether it
//! still exists, the writes to it, and how far it was read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_pipeline::Position;
use millstream_pipeline::queue::entry::Entry;
use millstream_pipeline::queue::lanes::no_lane;
use millstream_pipeline::queue::{QueueError, QueueProblem, QueueStats, SettleReport, Settled, Taken, Ticket, Work};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::control::{ControlTopic, LaneId, retry_while_unreachable};
use super::options::{KafkaQueueOptions, TopicNames};
use super::producer::{OutgoingRecord, QueueProducer, Written};
use super::quarantine::QuarantineTopic;
use super::record;
use super::table::TopicTable;
use super::topics;
use super::watermark::{WatermarkClient, Watermarks};
use super::window::{Carry, QuarantineCommand};
use crate::kafka::client::Observer;
use crate::kafka::partition_of;

/// Commands that may wait for the consumer before callers do.
const COMMANDS_MAX: usize = 256;

/// Clients and tasks that all work topics of one process share.
#[derive(Clone)]
pub(super) struct QueueContext {
    pub(super) options: Arc<KafkaQueueOptions>,
    pub(super) observer: Observer,
    pub(super) watermarks: WatermarkClient,
    pub(super) producer: Arc<QueueProducer>,
    pub(super) control: Arc<ControlTopic>,
    pub(super) tasks: TaskTracker,
    /// Ends everything of this process.
    pub(super) stop: CancellationToken,
}

impl QueueContext {
    fn partition_of(&self, document_id: i64) -> i32 {
        partition_of(&record::entry_key(document_id), self.options.partitions).cast_signed()
    }

    /// Returns the record of work in a work topic.
    pub(super) fn entry_record(&self, topic: &Arc<str>, work: &Work, value: Vec<u8>) -> OutgoingRecord {
        OutgoingRecord {
            topic: Arc::clone(topic),
            partition: Some(self.partition_of(work.document_id)),
            key: record::work_key(work),
            value: Some(value),
            header: None,
        }
    }
}

/// How a process takes part in consuming the cache queue or a lane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// The partitions that it has now.
    pub owned: Vec<i32>,
    /// The number of partitions of the topic.
    pub partitions: u32,
    /// Records of its partitions that it has not read yet.
    pub unread: u64,
    /// Records that it could not read. They are kept in the quarantine topic, under keys that begin with `refused/`.
    pub refused: u64,
    /// How often partitions were revoked.
    pub revocations: u64,
    /// Commits that the group refused, because the partitions belonged to other members by then.
    pub commits_refused: u64,
}

/// A caller's request to the consumer, which owns the window.
pub(super) enum ConsumerCommand {
    /// Joins the group, if this process is not a member.
    Join { reply: oneshot::Sender<Result<(), QueueError>> },
    /// Joins the group and takes entries.
    Take { max: usize, reply: oneshot::Sender<Result<Vec<Taken>, QueueError>> },
    /// Settles entries; the reply comes when everything is written and read again.
    Settle { settled: Vec<(Ticket, Settled)>, reply: oneshot::Sender<Result<SettleReport, QueueError>> },
    /// Counts the entries read so far, with the next offset to read of each assigned partition.
    Stats { reply: oneshot::Sender<(QueueStats, BTreeMap<i32, i64>)> },
    /// Reports the membership (without `unread`), with the same offsets.
    Membership { reply: oneshot::Sender<(Membership, BTreeMap<i32, i64>)> },
    /// Returns the quarantined entries of the assigned partitions, with the same offsets.
    Quarantined { reply: oneshot::Sender<(Vec<Entry>, BTreeMap<i32, i64>)> },
}

/// How far the consumer is. Callers wait for changes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The next offset to read of each assigned partition, without those being revoked.
    pub(super) reads: BTreeMap<i32, i64>,
    /// The window is full: nothing more is read for now.
    pub(super) is_full: bool,
    /// When the next entry may be taken; 0 for now.
    pub(super) next_ms: Option<u64>,
}

impl Progress {
    /// Returns whether a record was read, or will not be read by this process.
    fn has_read(&self, written: &Written) -> bool {
        self.reads.get(&written.partition).is_none_or(|read| *read > written.offset)
    }
}

/// The receiving ends of a work topic, for its consumer.
pub(super) struct ConsumerEnds {
    pub(super) commands: mpsc::Receiver<ConsumerCommand>,
    pub(super) progress: watch::Sender<Progress>,
}

/// A work topic with its quarantine topic.
pub(super) struct WorkTopic {
    pub(super) context: QueueContext,
    pub(super) lane: Option<LaneId>,
    pub(super) names: TopicNames,
    pub(super) name: Arc<str>,
    pub(super) quarantine: QuarantineTopic,
    /// Distinguishes the records that this process carries from those of others.
    pub(super) member_id: Uuid,
    pub(super) stop: CancellationToken,
    /// Cancelled when the consumer has ended.
    pub(super) ended: CancellationToken,
    pub(super) progress: watch::Receiver<Progress>,
    /// The partitions that are assigned, those being revoked included.
    pub(super) owned: Mutex<BTreeSet<i32>>,
    /// The last error of the group's client, until it works again.
    pub(super) problem: Mutex<Option<QueueProblem>>,
    commands: mpsc::Sender<ConsumerCommand>,
}

impl WorkTopic {
    /// Opens a topic that exists. Nothing is consumed yet.
    pub(super) async fn open(
        context: QueueContext,
        lane: Option<LaneId>,
        names: TopicNames,
    ) -> Result<(Arc<Self>, ConsumerEnds), QueueError> {
        let (options, stop) = (Arc::clone(&context.options), context.stop.child_token());
        let followed = (names.quarantine.as_str(), names.group.as_str(), options.partitions);
        let clients = (&context.observer, &context.watermarks);
        let table = TopicTable::open(&options, followed, clients, &context.tasks, &stop).await?;
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let (progress, observed) = watch::channel(Progress::default());
        let name: Arc<str> = Arc::from(names.work.as_str());
        let topic = Self {
            quarantine: QuarantineTopic::new(&names.quarantine, &name, table),
            name,
            lane,
            names,
            member_id: Uuid::new_v4(),
            stop,
            ended: CancellationToken::new(),
            progress: observed,
            owned: Mutex::default(),
            problem: Mutex::default(),
            commands,
            context,
        };
        Ok((Arc::new(topic), ConsumerEnds { commands: received, progress }))
    }

    /// Returns an error after the end of the queue, and for a lane that was removed, even if another has its name now.
    pub(super) fn check_live(&self) -> Result<(), QueueError> {
        if self.context.stop.is_cancelled() {
            return Err(QueueError::Closed);
        }
        if let Some(lane) = &self.lane
            && self.context.control.lane(&lane.name)?.is_none_or(|known| known.epoch != lane.epoch)
        {
            return Err(no_lane(&lane.name));
        }
        if self.stop.is_cancelled() { Err(QueueError::Closed) } else { Ok(()) }
    }

    pub(super) fn is_paused(&self) -> Result<bool, QueueError> {
        let Some(lane) = &self.lane else { return Ok(false) };
        Ok(self.context.control.lane(&lane.name)?.is_some_and(|lane| lane.paused))
    }

    /// Sends a command to the consumer and waits for the reply.
    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> ConsumerCommand + Send,
    ) -> Result<T, QueueError> {
        self.check_live()?;
        let (reply, answer) = oneshot::channel();
        let ended = || self.check_live().err().unwrap_or(QueueError::Closed);
        self.commands.send(command(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }

    /// Stops consuming, and waits until the partitions are released.
    pub(super) async fn leave(&self) {
        self.stop.cancel();
        self.ended.cancelled().await;
    }

    /// Writes records of assigned partitions to the quarantine topic. A record that could not be written at once is
    /// dropped when its partition was released: the next owner writes its own state, and reads the unfinished record
    /// again.
    pub(super) async fn write_owned(&self, records: &[OutgoingRecord]) -> Result<(), QueueError> {
        let is_owned = |record: &OutgoingRecord| {
            let partition = record.partition.is_some_and(|partition| self.owned.lock().contains(&partition));
            partition && self.check_live().is_ok()
        };
        self.context.producer.write(records, is_owned).await.map(drop)
    }

    /// Writes records to this topic or its quarantine. A lane that is removed meanwhile needs none of them.
    pub(super) async fn write(&self, records: &[OutgoingRecord]) -> Result<Vec<Option<Written>>, QueueError> {
        self.context.producer.write(records, |_| self.check_live().is_ok()).await
    }

    /// Writes records to this topic; an error if the lane was removed meanwhile.
    async fn write_live(&self, records: &[OutgoingRecord]) -> Result<Vec<Option<Written>>, QueueError> {
        let written = self.write(records).await?;
        self.check_live()?;
        Ok(written)
    }

    /// Writes work, then the position.
    pub(super) async fn put(&self, work: &[Work], position: Option<Position>) -> Result<(), QueueError> {
        self.check_live()?;
        let records: Vec<OutgoingRecord> =
            work.iter().map(|work| self.context.entry_record(&self.name, work, record::put(work))).collect();
        let written = self.write_live(&records).await?;
        if let Some(position) = position {
            let advance = || self.context.control.advance(self.lane.as_ref(), position);
            retry_while_unreachable(&self.stop, advance).await?;
        }
        self.until_read(&written).await;
        Ok(())
    }

    /// Writes entries again, as they are now, at the ends of their partitions.
    pub(super) async fn carry(&self, carries: &[Carry]) -> Result<Vec<Option<Written>>, QueueError> {
        let record = |carry: &Carry| {
            self.context.entry_record(&self.name, &carry.entry.work, record::carried(carry, self.member_id))
        };
        let records: Vec<OutgoingRecord> = carries.iter().map(record).collect();
        self.write_live(&records).await
    }

    /// Sends an operator's command to the owners of the documents' partitions.
    pub(super) async fn command(
        &self,
        commands: &[QuarantineCommand],
        encode: fn(QuarantineCommand) -> Vec<u8>,
    ) -> Result<(), QueueError> {
        let record = |command: &QuarantineCommand| OutgoingRecord {
            topic: Arc::clone(&self.name),
            partition: Some(self.partition_of(command.document_id)),
            key: record::command_key(),
            value: Some(encode(*command)),
            header: None,
        };
        let records: Vec<OutgoingRecord> = commands.iter().map(record).collect();
        let written = self.write_live(&records).await?;
        self.until_read(&written).await;
        Ok(())
    }

    /// Returns the partition of a document, in the work topic and in the quarantine topic.
    pub(super) fn partition_of(&self, document_id: i64) -> i32 {
        self.context.partition_of(document_id)
    }

    /// Waits until this process has read what was just written to its own partitions, so that the writer finds it in
    /// the window. Does not wait for partitions of others, nor while the window is full.
    pub(super) async fn until_read(&self, written: &[Option<Written>]) {
        let mut progress = self.progress.clone();
        let is_read =
            |progress: &Progress| progress.is_full || written.iter().flatten().all(|at| progress.has_read(at));
        let all_read = tokio::time::timeout(self.context.options.answer_timeout, progress.wait_for(is_read));
        tokio::select! {
            () = self.stop.cancelled() => {}
            waited = all_read => {
                if waited.is_err() {
                    tracing::warn!(topic = %self.name, "records written to the queue were not read back in time");
                }
            }
        }
    }

    /// Returns the offsets from which partitions are read: the committed ones, or the first ones. The quarantine topic
    /// is known up to its end by then.
    pub(super) async fn beginnings(&self, partitions: &[i32]) -> Result<Vec<(i32, i64)>, QueueError> {
        let table = self.quarantine.table();
        table.sync().await?;
        let committed = table.committed(self.names.work.clone(), partitions.to_vec()).await?;
        let watermarks = self.context.watermarks.fetch(&self.names.work, partitions.to_vec()).await?;
        let from =
            |Watermarks { partition, low, .. }| (partition, committed.get(&partition).copied().unwrap_or(low).max(low));
        Ok(watermarks.into_iter().map(from).collect())
    }

    /// Counts the records that were not read, in partitions of this process, or not committed, in others.
    pub(super) async fn unread(&self, reads: &BTreeMap<i32, i64>) -> Result<u64, QueueError> {
        let partitions: Vec<i32> = (0..self.context.options.partitions.cast_signed()).collect();
        let others: Vec<i32> = partitions.iter().copied().filter(|partition| !reads.contains_key(partition)).collect();
        let committed = if others.is_empty() {
            BTreeMap::new()
        } else {
            self.quarantine.table().committed(self.names.work.clone(), others).await?
        };
        let watermarks = self.context.watermarks.fetch(&self.names.work, partitions).await?;
        let unread = watermarks.into_iter().map(|Watermarks { partition, low, end }| {
            let from = reads.get(&partition).or_else(|| committed.get(&partition)).copied().unwrap_or(low).max(low);
            count(from, end)
        });
        Ok(unread.sum())
    }

    /// Counts the records of assigned partitions that were not read.
    pub(super) async fn unread_assigned(&self, reads: &BTreeMap<i32, i64>) -> Result<u64, QueueError> {
        let watermarks = self.context.watermarks.fetch(&self.names.work, reads.keys().copied().collect()).await?;
        Ok(watermarks.into_iter().map(|watermark| count(reads[&watermark.partition], watermark.end)).sum())
    }

    /// Truncates assigned partitions to what the group has committed. `truncated` is the result of the last call, which
    /// spares the partitions without news. Returns the new result.
    pub(super) async fn truncate(
        &self,
        assigned: Vec<i32>,
        truncated: BTreeMap<i32, i64>,
    ) -> Result<BTreeMap<i32, i64>, QueueError> {
        if assigned.is_empty() {
            return Ok(truncated);
        }
        let committed = self.quarantine.table().committed(self.names.work.clone(), assigned).await?;
        let mut changed = committed.clone();
        changed.retain(|partition, offset| truncated.get(partition) != Some(offset));
        if changed.is_empty() {
            return Ok(truncated);
        }
        let context = &self.context;
        let done = topics::truncate(&context.options, &context.observer, &self.names.work, &changed).await?;
        Ok(if done { committed } else { truncated })
    }
}

/// Counts records between two offsets, which were queried one after the other.
fn count(from: i64, end: i64) -> u64 {
    u64::try_from(end.saturating_sub(from)).unwrap_or(0)
}
