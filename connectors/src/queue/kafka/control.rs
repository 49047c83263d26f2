//! The control topic: state that all processes of a queue share. A compacted topic of one partition; the last record of a
//! key holds.
//!
//! * `epoch`: the queue's epoch, sixteen bytes; `position`: the source position, sixteen bytes ([`Position::to_bytes`]).
//! * `source`: the database that the queue belongs to ([`millstream_pipeline::binding`]).
//! * `lane/NAME`: the lane's epoch and whether it is paused, as JSON.
//! * `lane/NAME/EPOCH/position` and `lane/NAME/EPOCH/note/KEY`: position and notes of the lane with that epoch; a later
//!   lane of the same name does not see them.

use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::binding::Binding;
use millstream_pipeline::queue::lanes::no_lane;
use millstream_pipeline::queue::{LaneInfo, QueueError};
use millstream_pipeline::{Backoff, Position};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::producer::{OutgoingRecord, QueueProducer};
use super::table::TopicTable;

const EPOCH: &str = "epoch";
const SOURCE: &str = "source";
const ELSEWHERE: &str = "give this one a queue of its own (queue.topic_prefix)";
const POSITION: &str = "position";
const LANE: &str = "lane/";
/// How long a process that did not create the topic waits for the creator to write the epoch.
const EPOCH_WAIT: Duration = Duration::from_secs(10);
const EPOCH_POLL: Duration = Duration::from_millis(50);

/// A lane. The epoch distinguishes it from earlier and later lanes of the same name.
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

/// The control topic, followed and written.
pub(super) struct ControlTopic {
    topic: Arc<str>,
    table: Arc<TopicTable>,
    producer: Arc<QueueProducer>,
    /// Serializes read-modify-write operations of this process.
    writing: Mutex<()>,
}

impl ControlTopic {
    pub(super) fn new(topic: &str, table: Arc<TopicTable>, producer: Arc<QueueProducer>) -> Self {
        Self { topic: Arc::from(topic), table, producer, writing: Mutex::new(()) }
    }

    /// Waits until everything that any process wrote before the call is known.
    pub(super) async fn sync(&self) -> Result<(), QueueError> {
        self.table.sync().await
    }

    /// Returns a receiver that is notified of every change.
    pub(super) fn changes(&self) -> tokio::sync::watch::Receiver<std::collections::BTreeMap<i32, i64>> {
        self.table.changes()
    }

    /// Returns the queue's epoch. The process that created the topic writes it, so that there are never two; if that
    /// process died before it did, another one writes it after [`EPOCH_WAIT`].
    pub(super) async fn epoch(&self, created: bool) -> Result<Uuid, QueueError> {
        let until = tokio::time::Instant::now() + EPOCH_WAIT;
        loop {
            self.sync().await?;
            if let Some(epoch) = self.sixteen(EPOCH)? {
                return Ok(Uuid::from_bytes(epoch));
            }
            if created || tokio::time::Instant::now() > until {
                self.set(EPOCH, Some(Uuid::new_v4().as_bytes().to_vec())).await?;
            } else {
                tokio::time::sleep(EPOCH_POLL).await;
            }
        }
    }

    /// Refuses the queue of another database, and stores the binding if the queue has none.
    pub(super) async fn bind(&self, binding: &Binding) -> Result<(), QueueError> {
        self.sync().await?;
        if !self.table.rows().contains_key(SOURCE.as_bytes()) {
            self.set(SOURCE, Some(binding.as_str().into())).await?;
        }
        // If two processes wrote it at the same time, the last record holds.
        let rows = self.table.rows();
        let found = rows.get(SOURCE.as_bytes()).map(|row| String::from_utf8_lossy(&row.value));
        match found.and_then(|found| binding.difference(&found, ELSEWHERE)) {
            None => Ok(()),
            Some(difference) => {
                let what = format!("the queue of the topic {}", self.topic);
                Err(QueueError::Incompatible { what, differences: vec![difference] })
            }
        }
    }

    /// Returns the source position, or the position of a lane's backfill.
    pub(super) fn position(&self, lane: Option<&LaneId>) -> Result<Option<Position>, QueueError> {
        Ok(self.sixteen(&position_key(lane))?.map(Position::from_bytes))
    }

    /// Stores a position if it lies after the known one.
    pub(super) async fn advance(&self, lane: Option<&LaneId>, position: Position) -> Result<(), QueueError> {
        let _guard = self.writing.lock().await;
        if self.position(lane)?.is_none_or(|known| known < position) {
            self.set(&position_key(lane), Some(position.to_bytes().to_vec())).await?;
        }
        Ok(())
    }

    /// Stores a position, whatever the known one is.
    pub(super) async fn reset(&self, lane: Option<&LaneId>, position: Position) -> Result<(), QueueError> {
        let _guard = self.writing.lock().await;
        self.set(&position_key(lane), Some(position.to_bytes().to_vec())).await
    }

    /// Returns the lanes, as known now.
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

    /// Adds a lane if it does not exist.
    pub(super) async fn add_lane(&self, name: &str) -> Result<LaneInfo, QueueError> {
        let _guard = self.writing.lock().await;
        self.sync().await?;
        if let Some(lane) = self.lane(name)? {
            return Ok(lane);
        }
        self.set_lane(name, &LaneRow { epoch: Uuid::new_v4(), paused: false }).await?;
        // If another process added it at the same time, the last record holds.
        self.lane(name)?.ok_or_else(|| no_lane(name))
    }

    /// Removes a lane with its position and notes. Returns the lane that was removed.
    pub(super) async fn remove_lane(&self, name: &str) -> Result<Option<LaneId>, QueueError> {
        let _guard = self.writing.lock().await;
        self.sync().await?;
        let Some(lane) = self.lane(name)? else { return Ok(None) };
        let beginning = format!("{LANE}{name}/");
        let dependent: Vec<Vec<u8>> =
            self.table.rows().keys().filter(|key| key.starts_with(beginning.as_bytes())).cloned().collect();
        let keys = [vec![lane_key(name).into_bytes()], dependent].concat();
        self.write(keys.into_iter().map(|key| (key, None)).collect()).await?;
        Ok(Some(LaneId { name: lane.name, epoch: lane.epoch }))
    }

    pub(super) async fn set_paused(&self, name: &str, paused: bool) -> Result<(), QueueError> {
        let _guard = self.writing.lock().await;
        self.sync().await?;
        let lane = self.lane(name)?.ok_or_else(|| no_lane(name))?;
        self.set_lane(name, &LaneRow { epoch: lane.epoch, paused }).await
    }

    pub(super) async fn set_note(&self, name: &str, key: &str, note: Option<Vec<u8>>) -> Result<(), QueueError> {
        let _guard = self.writing.lock().await;
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

    /// Writes rows and waits until the table has them.
    async fn write(&self, rows: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), QueueError> {
        let topic = &self.topic;
        let record =
            |(key, value)| OutgoingRecord { topic: Arc::clone(topic), partition: None, key, value, header: None };
        let records: Vec<OutgoingRecord> = rows.into_iter().map(record).collect();
        let written = self.producer.write(&records, |_| true).await?;
        let ends: Vec<(i32, i64)> = written.iter().flatten().map(|at| (at.partition, at.offset + 1)).collect();
        self.table.reach(&ends).await
    }

    fn sixteen(&self, key: &str) -> Result<Option<[u8; 16]>, QueueError> {
        let rows = self.table.rows();
        let Some(row) = rows.get(key.as_bytes()) else { return Ok(None) };
        let bytes = row.value.as_slice().try_into();
        bytes
            .map(Some)
            .map_err(|_| QueueError::Corrupt(format!("{key} of the topic {} does not have 16 bytes", self.topic)))
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

/// Retries an operation while the brokers are unreachable, until `stop`. Workers treat any queue error as fatal, so their
/// calls wait out an outage; operator queries return the error instead. The operation has to be idempotent.
pub(super) async fn retry_while_unreachable<T, F>(
    stop: &CancellationToken,
    mut attempt: impl FnMut() -> F + Send,
) -> Result<T, QueueError>
where
    F: Future<Output = Result<T, QueueError>> + Send,
{
    let mut backoff = Backoff::RECONNECT.attempts();
    loop {
        let error = match attempt().await {
            Err(error @ QueueError::Unavailable { .. }) => error,
            ended => return ended,
        };
        let pause = backoff.fail();
        tracing::warn!(%error, ?pause, "the queue's brokers are unreachable; retrying");
        tokio::select! {
            () = stop.cancelled() => return Err(QueueError::Closed),
            () = tokio::time::sleep(pause) => {}
        }
    }
}
