//! What all processes of a queue agree on: its epoch, how far the source was followed, the lanes and what stands with
//! them. A compacted topic of one partition; what was written last holds.
//!
//! * `epoch`: sixteen bytes; `position`: sixteen bytes ([`Position::to_bytes`]).
//! * `source`: the database whose work this is ([`millstream_pipeline::binding`]).
//! * `lane/NAME`: the lane's epoch and whether it is paused, as JSON.
//! * `lane/NAME/EPOCH/position` and `lane/NAME/EPOCH/note/KEY`: what goes with it, and with no later lane of that name.

use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::Position;
use millstream_pipeline::binding::Binding;
use millstream_pipeline::queue::{LaneInfo, QueueError};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::producer::{Outgoing, QueueProducer};
use super::table::Table;

const EPOCH: &str = "epoch";
const SOURCE: &str = "source";
const ELSEWHERE: &str = "give this one a queue of its own (queue.topic_prefix)";
const POSITION: &str = "position";
const LANE: &str = "lane/";
/// For how long whoever did not make the topic waits for the epoch of whoever did.
const EPOCH_WAIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A lane, and which of those that had its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LaneId {
    pub(super) name: String,
    pub(super) epoch: Uuid,
}

#[derive(Debug, Serialize, Deserialize)]
struct LaneRow {
    epoch: Uuid,
    paused: bool,
}

/// The control topic.
pub(super) struct Control {
    topic: Arc<str>,
    table: Arc<Table>,
    producer: Arc<QueueProducer>,
    /// What depends on what is there is read and written by one at a time in this process.
    writing: Mutex<()>,
}

impl Control {
    pub(super) fn new(topic: &str, table: Arc<Table>, producer: Arc<QueueProducer>) -> Self {
        Self { topic: Arc::from(topic), table, producer, writing: Mutex::new(()) }
    }

    /// Waits until everything that anybody has set is known.
    pub(super) async fn sync(&self) -> Result<(), QueueError> {
        self.table.sync().await
    }

    /// Changes without a word about what.
    pub(super) fn changes(&self) -> tokio::sync::watch::Receiver<std::collections::BTreeMap<i32, i64>> {
        self.table.changes()
    }

    /// The queue's epoch. Whoever made the topic sets it, so that there are never two; if that process died in between,
    /// another one sets it after a while.
    pub(super) async fn epoch(&self, made: bool) -> Result<Uuid, QueueError> {
        let until = tokio::time::Instant::now() + EPOCH_WAIT;
        loop {
            self.sync().await?;
            if let Some(epoch) = self.sixteen(EPOCH)? {
                return Ok(Uuid::from_bytes(epoch));
            }
            if made || tokio::time::Instant::now() > until {
                self.set(EPOCH, Some(Uuid::new_v4().as_bytes().to_vec())).await?;
            } else {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Refuses the queue of another database, and notes whose it is if it does not say.
    pub(super) async fn bind(&self, binding: &Binding) -> Result<(), QueueError> {
        self.sync().await?;
        if !self.table.rows().contains_key(SOURCE.as_bytes()) {
            self.set(SOURCE, Some(binding.as_str().into())).await?;
        }
        // If two did that at the same time, the last one holds.
        let rows = self.table.rows();
        let found = rows.get(SOURCE.as_bytes()).map(|row| String::from_utf8_lossy(&row.value));
        match found.and_then(|found| binding.difference(&found, ELSEWHERE)) {
            None => Ok(()),
            Some(difference) => {
                let what = format!("the queue of the topic {}", self.topic);
                Err(QueueError::Unfit { what, differences: vec![difference] })
            }
        }
    }

    /// How far the source was followed, or a backfill of the lane has come.
    pub(super) fn position(&self, lane: Option<&LaneId>) -> Result<Option<Position>, QueueError> {
        Ok(self.sixteen(&position_key(lane))?.map(Position::from_bytes))
    }

    /// Stores a position that lies after the one that is known.
    pub(super) async fn advance(&self, lane: Option<&LaneId>, position: Position) -> Result<(), QueueError> {
        let _alone = self.writing.lock().await;
        if self.position(lane)?.is_none_or(|known| known < position) {
            self.set(&position_key(lane), Some(position.to_bytes().to_vec())).await?;
        }
        Ok(())
    }

    /// Stores a position whatever is known.
    pub(super) async fn reset(&self, lane: Option<&LaneId>, position: Position) -> Result<(), QueueError> {
        let _alone = self.writing.lock().await;
        self.set(&position_key(lane), Some(position.to_bytes().to_vec())).await
    }

    /// The lanes as they are known now.
    pub(super) fn lanes(&self) -> Result<Vec<LaneInfo>, QueueError> {
        let rows = self.table.rows();
        let named = rows.iter().filter_map(|(key, row)| {
            let name = str::from_utf8(key).ok()?.strip_prefix(LANE)?;
            (!name.contains('/')).then_some((name, row))
        });
        named.map(|(name, row)| lane_info(name, &row.value)).collect()
    }

    pub(super) fn lane(&self, name: &str) -> Result<Option<LaneInfo>, QueueError> {
        let rows = self.table.rows();
        rows.get(lane_key(name).as_bytes()).map(|row| lane_info(name, &row.value)).transpose()
    }

    /// Adds a lane if it is not there.
    pub(super) async fn add_lane(&self, name: &str) -> Result<LaneInfo, QueueError> {
        let _alone = self.writing.lock().await;
        self.sync().await?;
        if let Some(lane) = self.lane(name)? {
            return Ok(lane);
        }
        self.set_lane(name, &LaneRow { epoch: Uuid::new_v4(), paused: false }).await?;
        // If somebody else added it at the same time, the last one holds.
        self.lane(name)?.ok_or_else(|| no_lane(name))
    }

    /// Removes a lane with what goes with it. Answers which it was.
    pub(super) async fn remove_lane(&self, name: &str) -> Result<Option<LaneId>, QueueError> {
        let _alone = self.writing.lock().await;
        self.sync().await?;
        let Some(lane) = self.lane(name)? else { return Ok(None) };
        let beginning = format!("{LANE}{name}/");
        let with_it: Vec<Vec<u8>> =
            self.table.rows().keys().filter(|key| key.starts_with(beginning.as_bytes())).cloned().collect();
        let keys = [vec![lane_key(name).into_bytes()], with_it].concat();
        self.write(keys.into_iter().map(|key| (key, None)).collect()).await?;
        Ok(Some(LaneId { name: lane.name, epoch: lane.epoch }))
    }

    pub(super) async fn set_paused(&self, name: &str, paused: bool) -> Result<(), QueueError> {
        let _alone = self.writing.lock().await;
        self.sync().await?;
        let lane = self.lane(name)?.ok_or_else(|| no_lane(name))?;
        self.set_lane(name, &LaneRow { epoch: lane.epoch, paused }).await
    }

    pub(super) async fn set_note(&self, name: &str, key: &str, note: Option<Vec<u8>>) -> Result<(), QueueError> {
        let _alone = self.writing.lock().await;
        self.sync().await?;
        let key = self.note_key(name, key)?;
        self.set(&key, note).await
    }

    pub(super) async fn note(&self, name: &str, key: &str) -> Result<Option<Vec<u8>>, QueueError> {
        self.sync().await?;
        let key = self.note_key(name, key)?;
        Ok(self.table.rows().get(key.as_bytes()).map(|row| row.value.clone()))
    }

    fn note_key(&self, name: &str, key: &str) -> Result<String, QueueError> {
        let lane = self.lane(name)?.ok_or_else(|| no_lane(name))?;
        Ok(format!("{LANE}{name}/{}/note/{key}", lane.epoch))
    }

    async fn set_lane(&self, name: &str, row: &LaneRow) -> Result<(), QueueError> {
        let value = serde_json::to_vec(row).map_err(|error| QueueError::Corrupt(error.to_string()))?;
        self.set(&lane_key(name), Some(value)).await
    }

    async fn set(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), QueueError> {
        self.write(vec![(key.as_bytes().to_vec(), value)]).await
    }

    /// Writes rows and waits until they are read.
    async fn write(&self, rows: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), QueueError> {
        let topic = &self.topic;
        let record = |(key, value)| Outgoing { topic: Arc::clone(topic), partition: None, key, value, note: None };
        let records: Vec<Outgoing> = rows.into_iter().map(record).collect();
        let written = self.producer.write(&records, |_| true).await?;
        self.table.reach_written(&written).await
    }

    fn sixteen(&self, key: &str) -> Result<Option<[u8; 16]>, QueueError> {
        let rows = self.table.rows();
        let Some(row) = rows.get(key.as_bytes()) else { return Ok(None) };
        let bytes = row.value.as_slice().try_into();
        bytes
            .map(Some)
            .map_err(|_| QueueError::Corrupt(format!("{key} of the topic {} is not of 16 bytes", self.topic)))
    }
}

fn position_key(lane: Option<&LaneId>) -> String {
    match lane {
        None => POSITION.to_owned(),
        Some(LaneId { name, epoch }) => format!("{LANE}{name}/{epoch}/{POSITION}"),
    }
}

fn lane_key(name: &str) -> String {
    format!("{LANE}{name}")
}

fn lane_info(name: &str, value: &[u8]) -> Result<LaneInfo, QueueError> {
    let row: LaneRow = serde_json::from_slice(value)
        .map_err(|error| QueueError::Corrupt(format!("the row of lane {name:?} in the control topic: {error}")))?;
    Ok(LaneInfo { name: name.to_owned(), paused: row.paused, epoch: row.epoch })
}

pub(super) fn no_lane(name: &str) -> QueueError {
    QueueError::NoLane { name: name.to_owned() }
}
