//! All that one process has of a queue: the stage, and the lanes that it was asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_pipeline::queue::{LaneInfo, QueueError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::asker::Asker;
use super::control::{Control, LaneId};
use super::names;
use super::options::KafkaQueueOptions;
use super::producer::QueueProducer;
use super::station::{Common, Station};
use super::table::Table;
use super::topics;
use crate::kafka::client::Observer;

/// The topic of a lane, and what this process has of the lane.
pub(super) struct LaneTopic {
    pub(super) topic: Arc<str>,
    pub(super) station: Option<Arc<Station>>,
}

/// What the handles of one process share. With the last of them it ends.
pub(super) struct Hub {
    pub(super) common: Common,
    pub(super) stage: Arc<Station>,
    pub(super) epoch: Uuid,
    /// By the epochs of the lanes.
    lanes: Mutex<HashMap<Uuid, Arc<Station>>>,
    /// A lane is opened by one at a time.
    opening: tokio::sync::Mutex<()>,
}

impl Hub {
    /// Makes sure of the topics, and learns what all processes agree on.
    pub(super) async fn open(options: KafkaQueueOptions) -> Result<Arc<Self>, QueueError> {
        options.check()?;
        let (stop, tasks, observer) = (CancellationToken::new(), TaskTracker::new(), Observer::default());
        // Whatever fails on the way, what was begun ends.
        let guard = stop.clone().drop_guard();
        let topic = names::control(&options);
        let made = topics::ensure_control(&options, &topic, &observer).await?;
        let producer = Arc::new(QueueProducer::new(&options, &observer, stop.clone())?);
        let asker = Asker::new(&options, &observer)?;
        let table = Table::open(&options, (&topic, &options.group, 1), (&observer, &asker), &tasks, &stop).await?;
        let control = Arc::new(Control::new(&topic, table, Arc::clone(&producer)));
        let epoch = control.epoch(made).await?;
        // Before it joins the group: a member is given work at once.
        if let Some(binding) = &options.binding {
            control.bind(binding).await?;
        }
        let stage_names = names::stage(&options);
        topics::ensure_stage(&options, &stage_names, &observer).await?;
        let common = Common { options: Arc::new(options), observer, asker, producer, control, tasks, stop };
        let stage = Station::open(common.clone(), None, stage_names).await?;
        drop(guard.disarm());
        Ok(Arc::new(Self { common, stage, epoch, lanes: Mutex::default(), opening: tokio::sync::Mutex::new(()) }))
    }

    /// The lane's station, opened if this process has not used it yet.
    pub(super) async fn lane(&self, lane: LaneInfo) -> Result<Arc<Station>, QueueError> {
        let _alone = self.opening.lock().await;
        if let Some(station) = self.lanes().get(&lane.epoch) {
            return Ok(Arc::clone(station));
        }
        let options = &self.common.options;
        let names = names::lane(options, &lane.name, lane.epoch);
        topics::ensure_lane(options, &names, &self.common.observer).await?;
        let id = LaneId { name: lane.name, epoch: lane.epoch };
        let station = Station::open(self.common.clone(), Some(id), names).await?;
        self.lanes().insert(lane.epoch, Arc::clone(&station));
        Ok(station)
    }

    /// Ends what this process has of a lane that was removed, and deletes its topics.
    pub(super) async fn close_lane(&self, lane: &LaneId) -> Result<(), QueueError> {
        let station = self.lanes().remove(&lane.epoch);
        if let Some(station) = station {
            station.leave().await;
        }
        let options = &self.common.options;
        topics::delete(options, &names::lane(options, &lane.name, lane.epoch), &self.common.observer).await
    }

    /// The topics of all lanes as they are known now, with the stations that this process has of them.
    pub(super) fn lane_topics(&self) -> Result<Vec<LaneTopic>, QueueError> {
        let lanes = self.common.control.lanes()?;
        let stations = self.lanes();
        let topic = |lane: LaneInfo| match stations.get(&lane.epoch) {
            Some(station) => LaneTopic { topic: Arc::clone(&station.work_topic), station: Some(Arc::clone(station)) },
            None => {
                let names = names::lane(&self.common.options, &lane.name, lane.epoch);
                LaneTopic { topic: Arc::from(names.work), station: None }
            }
        };
        Ok(lanes.into_iter().map(topic).collect())
    }

    /// Leaves all groups in order, and ends.
    pub(super) async fn close(&self) {
        self.common.stop.cancel();
        let lanes: Vec<Arc<Station>> = self.lanes().values().cloned().collect();
        for station in lanes.iter().chain([&self.stage]) {
            station.leave().await;
        }
        self.common.tasks.close();
        self.common.tasks.wait().await;
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Station>>> {
        // Nothing panics while it holds the lock.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.common.stop.cancel();
    }
}
