//! A topic of changes in Kafka: Millstream's own, or a Debezium connector's.
//!
//! Another process follows the slot and fills the topic. Only the slot knows how far the topic is filled: everything
//! below the position that the slot's reader has confirmed is in the topic.

use super::error::refused;
use futures::future::BoxFuture;
use millstream_connectors::source::topic::{KafkaSource, KafkaSourceOptions, RecordForm, TopicEnd, start_at_end};
use millstream_pipeline::{
    Position,
    source::{SourceError, Stream},
};
use millstream_projector::{Opened, PositionKind, SourceFactory, Start};
use millstream_store::connect::Database;
use std::time::Duration;
use tokio_postgres::types::PgLsn;

/// Timeout of requests for the end of the topic.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

const CONFIRMED_SQL: &str = "SELECT confirmed_flush_lsn FROM pg_replication_slots
    WHERE slot_name = $1::text AND database = current_database() AND confirmed_flush_lsn IS NOT NULL
      AND wal_status IS DISTINCT FROM 'lost'";

/// Opens sources on a topic that the reader of a slot fills.
#[derive(Debug)]
pub(super) struct TopicFactory {
    database: Database,
    slot: String,
    options: KafkaSourceOptions,
    end: TopicEnd,
}

impl TopicFactory {
    /// Creates a factory. Fails if the options are invalid.
    pub(super) fn new(database: Database, slot: &str, options: KafkaSourceOptions) -> Result<Self, SourceError> {
        let end = TopicEnd::new(KafkaSourceOptions { answer_timeout: ANSWER_WITHIN, ..options.clone() })?;
        Ok(Self { database, slot: slot.to_owned(), options, end })
    }

    /// Returns the position confirmed by the slot's reader, below which the topic is complete; `None` if the slot
    /// does not exist.
    async fn confirmed(&self) -> Result<Option<u64>, SourceError> {
        const ACTION: &str = "reading how far a topic of changes is filled";
        let client = self.database.get().await.map_err(refused(ACTION))?;
        let row = client.query_opt(CONFIRMED_SQL, &[&self.slot]).await.map_err(refused(ACTION))?;
        row.map(|row| row.try_get("confirmed_flush_lsn").map(|lsn: PgLsn| lsn.into()))
            .transpose()
            .map_err(refused(ACTION))
    }

    fn no_slot(&self) -> SourceError {
        let (slot, topic) = (&self.slot, &self.options.topic);
        let detail = match self.options.form {
            RecordForm::Millstream => format!("`millstream publish` creates it and fills topic {topic}: start it"),
            _ => format!("set source.slot to the slot of the connector that fills topic {topic}"),
        };
        SourceError::Lost {
            what: format!("slot {slot}"),
            detail: format!("it is not in this database, or lost; {detail}"),
        }
    }

    async fn start(&self, start: Start) -> Result<Opened, SourceError> {
        let position = match start {
            Start::After { position, .. } => position,
            Start::Fresh => {
                // Changes that commit before the slot exists never reach our topic. A connector starts with a snapshot
                // of the table.
                if self.options.form == RecordForm::Millstream && self.confirmed().await?.is_none() {
                    return Err(self.no_slot());
                }
                start_at_end(&self.options).await?
            }
        };
        let source = KafkaSource::start(self.options.clone(), position)?;
        Ok(Opened { source: Box::new(source), position, kind: PositionKind::Offsets })
    }
}

impl SourceFactory for TopicFactory {
    fn stream(&self) -> Stream {
        Stream::topic(&self.options.topic)
    }

    fn open(&self, start: Start) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(self.start(start))
    }

    /// The end of the topic, read after the reader of the slot has confirmed `lsn`.
    fn covering(&self, lsn: u64) -> BoxFuture<'_, Result<Option<Position>, SourceError>> {
        Box::pin(async move {
            match self.confirmed().await? {
                None => Err(self.no_slot()),
                Some(confirmed) if confirmed < lsn => Ok(None),
                Some(_) => self.end.now().await.map(Some),
            }
        })
    }
}
