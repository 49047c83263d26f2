//! The work topics of the lanes that one process uses, and the delivery of work into all lanes.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_pipeline::queue::{QueueError, Work};
use parking_lot::Mutex;
use uuid::Uuid;

use super::control::retry_while_unreachable;
use super::producer::OutgoingRecord;
use super::record;
use super::work_topic::{QueueContext, WorkTopic};

/// The work topics of the lanes that this process uses, by the lanes' epochs.
pub(super) struct LaneTopics {
    context: QueueContext,
    open: Mutex<HashMap<Uuid, Arc<WorkTopic>>>,
}

impl LaneTopics {
    pub(super) fn new(context: QueueContext) -> Self {
        Self { context, open: Mutex::default() }
    }

    pub(super) fn get(&self, epoch: Uuid) -> Option<Arc<WorkTopic>> {
        self.open.lock().get(&epoch).cloned()
    }

    pub(super) fn insert(&self, epoch: Uuid, topic: Arc<WorkTopic>) {
        self.open.lock().insert(epoch, topic);
    }

    pub(super) fn remove(&self, epoch: Uuid) -> Option<Arc<WorkTopic>> {
        self.open.lock().remove(&epoch)
    }

    pub(super) fn all(&self) -> Vec<Arc<WorkTopic>> {
        self.open.lock().values().cloned().collect()
    }

    /// Returns the names of the work topics of all lanes known now, with their epochs.
    fn names(&self) -> Result<Vec<(Uuid, Arc<str>)>, QueueError> {
        let lanes = self.context.control.lanes()?;
        let name = |epoch, name: &str| match self.get(epoch) {
            Some(topic) => Arc::clone(&topic.name),
            None => Arc::from(self.context.options.lane_names(name, epoch).work),
        };
        Ok(lanes.into_iter().map(|lane| (lane.epoch, name(lane.epoch, &lane.name))).collect())
    }

    /// Adds work to every lane that exists now, whichever process added it. A lane that is removed meanwhile needs
    /// nothing more.
    pub(super) async fn deliver(&self, deliveries: &[Work]) -> Result<(), QueueError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let context = &self.context;
        retry_while_unreachable(&context.stop, || context.control.sync()).await?;
        let lanes = self.names()?;
        let records: Vec<OutgoingRecord> = lanes
            .iter()
            .flat_map(|(_, topic)| deliveries.iter().map(|work| context.entry_record(topic, work, record::put(work))))
            .collect();
        let exists = |record: &OutgoingRecord| {
            self.names().map_or(true, |lanes| lanes.iter().any(|(_, topic)| *topic == record.topic))
        };
        let written = context.producer.write(&records, exists).await?;
        for ((epoch, _), written) in lanes.iter().zip(written.chunks(deliveries.len())) {
            if let Some(topic) = self.get(*epoch) {
                topic.until_read(written).await;
            }
        }
        Ok(())
    }
}
