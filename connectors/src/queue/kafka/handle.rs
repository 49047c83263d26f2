//! The queue as its users see it: the stage with its lanes, or one lane.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use millstream_pipeline::Position;
use millstream_pipeline::queue::{
    LaneInfo, Lanes, Quarantined, QueueError, QueueStats, SettleReport, Settled, Taken, Ticket, Unreadable, Work,
    WorkQueue, check_name, check_note,
};
use uuid::Uuid;

use super::hub::Hub;
use super::options::KafkaQueueOptions;
use super::patience::patiently;
use super::record;
use super::settle::settle;
use super::station::{Membership, Station};

/// A queue in Kafka that any number of processes share: its stage, or one of its lanes.
///
/// A process takes part, and gets partitions, from its first [`WorkQueue::take`] or [`WorkQueue::ready`] on. Before that
/// it may put, ask and command. Everything of a process ends with its last handle; [`KafkaQueue::close`] ends it in good
/// order, which lets the others go on at once.
#[derive(Clone)]
pub struct KafkaQueue {
    hub: Arc<Hub>,
    station: Arc<Station>,
    epoch: Uuid,
}

impl KafkaQueue {
    /// Opens the queue. Topics that are not there are made, if that is allowed; every difference of those that are there
    /// is named. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`QueueError::Unfit`] for options or topics that cannot be used, [`QueueError::Unavailable`] while the brokers
    /// cannot be reached.
    pub async fn open(options: KafkaQueueOptions) -> Result<Self, QueueError> {
        let hub = Hub::open(options).await?;
        Ok(Self { station: Arc::clone(&hub.stage), epoch: hub.epoch, hub })
    }

    /// Lets go of all partitions of this process, commits what is finished, and ends. What is in flight is done again by
    /// others. Every handle answers [`QueueError::Closed`] from then on.
    pub async fn close(&self) {
        self.hub.close().await;
    }

    /// How this process takes part.
    ///
    /// # Errors
    /// When the brokers do not answer, or the lane was removed.
    pub async fn membership(&self) -> Result<Membership, QueueError> {
        self.station.membership().await
    }

    /// The lane `name` as a handle of this type, if there is one.
    ///
    /// # Errors
    /// When the brokers do not answer, or its topics are not what they have to be.
    pub async fn kafka_lane(&self, name: &str) -> Result<Option<Self>, QueueError> {
        self.hub.common.control.sync().await?;
        match self.hub.common.control.lane(name)? {
            Some(lane) => self.named(lane).await.map(Some),
            None => Ok(None),
        }
    }

    async fn named(&self, lane: LaneInfo) -> Result<Self, QueueError> {
        let epoch = lane.epoch;
        let station = self.hub.lane(lane).await?;
        Ok(Self { hub: Arc::clone(&self.hub), station, epoch })
    }

    /// Does something to the end, also if whoever asked stops waiting for it.
    fn whole<T, F>(&self, deed: impl FnOnce(Arc<Hub>, Arc<Station>) -> F) -> BoxFuture<'_, Result<T, QueueError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueueError>> + Send + 'static,
    {
        let deed = deed(Arc::clone(&self.hub), Arc::clone(&self.station));
        let done = self.hub.common.tasks.spawn(deed);
        Box::pin(async move { done.await.map_err(|_| QueueError::Closed)? })
    }
}

impl fmt::Debug for KafkaQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaQueue").field("names", &self.station.names).finish_non_exhaustive()
    }
}

impl WorkQueue for KafkaQueue {
    fn put(&self, work: Vec<Work>, position: Option<Position>) -> BoxFuture<'_, Result<(), QueueError>> {
        self.whole(|_, station| async move { station.put(work, position).await })
    }

    fn take(&self, max: usize) -> BoxFuture<'_, Result<Vec<Taken>, QueueError>> {
        Box::pin(async move { self.station.take(max) })
    }

    fn settle(&self, settled: Vec<(Ticket, Settled)>) -> BoxFuture<'_, Result<SettleReport, QueueError>> {
        self.whole(|hub, station| async move { settle(&hub, &station, settled).await })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), QueueError>> {
        Box::pin(self.station.ready())
    }

    fn position(&self) -> BoxFuture<'_, Result<Option<Position>, QueueError>> {
        Box::pin(async move {
            let common = &self.hub.common;
            patiently(&common.stop, || common.control.sync()).await?;
            self.station.alive()?;
            common.control.position(self.station.lane.as_ref())
        })
    }

    fn reset_position(&self, position: Position) -> BoxFuture<'_, Result<(), QueueError>> {
        self.whole(move |hub, station| async move {
            station.alive()?;
            patiently(&hub.common.stop, || hub.common.control.reset(station.lane.as_ref(), position)).await
        })
    }

    fn epoch(&self) -> Uuid {
        self.epoch
    }

    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        Box::pin(self.station.stats())
    }

    fn quarantined(&self, after: Option<i64>, max: usize) -> BoxFuture<'_, Result<Vec<Quarantined>, QueueError>> {
        Box::pin(self.station.quarantined(after, max))
    }

    fn unreadable(&self) -> BoxFuture<'_, Result<Vec<Unreadable>, QueueError>> {
        Box::pin(self.station.unreadable())
    }

    fn discard_unreadable(&self, places: Vec<String>) -> BoxFuture<'_, Result<u64, QueueError>> {
        self.whole(|_, station| async move { station.discard_unreadable(places).await })
    }

    fn release(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        self.whole(|_, station| async move { station.command(document_ids, record::release).await })
    }

    fn discard(&self, document_ids: Vec<i64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        self.whole(|_, station| async move { station.command(document_ids, record::discard).await })
    }
}

impl Lanes for KafkaQueue {
    fn add_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<dyn WorkQueue>, QueueError>> {
        Box::pin(async move {
            check_name(name)?;
            let lane = self.hub.common.control.add_lane(name).await?;
            Ok(Arc::new(self.named(lane).await?) as Arc<dyn WorkQueue>)
        })
    }

    fn remove_lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, QueueError>> {
        let name = name.to_owned();
        self.whole(|hub, _| async move {
            let Some(lane) = hub.common.control.remove_lane(&name).await? else { return Ok(false) };
            hub.close_lane(&lane).await?;
            Ok(true)
        })
    }

    fn lane<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Arc<dyn WorkQueue>>, QueueError>> {
        Box::pin(async move { Ok(self.kafka_lane(name).await?.map(|lane| Arc::new(lane) as Arc<dyn WorkQueue>)) })
    }

    fn lanes(&self) -> BoxFuture<'_, Result<Vec<LaneInfo>, QueueError>> {
        Box::pin(async move {
            self.hub.common.control.sync().await?;
            self.hub.common.control.lanes()
        })
    }

    fn set_paused<'a>(&'a self, name: &'a str, paused: bool) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(self.hub.common.control.set_paused(name, paused))
    }

    fn set_note<'a>(
        &'a self,
        name: &'a str,
        key: &'a str,
        note: Option<Vec<u8>>,
    ) -> BoxFuture<'a, Result<(), QueueError>> {
        Box::pin(async move {
            check_note(key, note.as_ref())?;
            self.hub.common.control.set_note(name, key, note).await
        })
    }

    fn note<'a>(&'a self, name: &'a str, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, QueueError>> {
        Box::pin(self.hub.common.control.note(name, key))
    }
}
