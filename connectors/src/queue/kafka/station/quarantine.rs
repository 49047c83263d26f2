//! The quarantine of a station: written by who owns the document's partition, asked for and commanded by anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_pipeline::queue::entry::Entry;
use millstream_pipeline::queue::{Quarantined, QueueError};

use super::Station;
use super::unreadable::is_refused;
use crate::kafka::partition_of;
use crate::queue::kafka::producer::Outgoing;
use crate::queue::kafka::record;
use crate::queue::kafka::window::Command;

impl Station {
    /// Brings the quarantine topic up to what the window says of these documents now, as far as they are ours.
    pub(in crate::queue::kafka) async fn mirror(&self, document_ids: &[i64]) -> Result<(), QueueError> {
        if document_ids.is_empty() {
            return Ok(());
        }
        let _alone = self.mirroring.lock().await;
        let records: Vec<Outgoing> = {
            let window = self.window();
            let ours = document_ids.iter().filter(|document_id| window.owns(self.partition(**document_id)));
            ours.map(|document_id| Outgoing {
                topic: Arc::clone(&self.quarantine_topic),
                partition: None,
                key: record::entry_key(*document_id),
                value: window.quarantine_of(*document_id).as_ref().map(record::quarantined),
                note: None,
            })
            .collect()
        };
        self.common.producer.write(&records, |_| self.alive().is_ok()).await.map(|_| ())
    }

    /// The partition of a document, in the work topic and in the quarantine topic.
    fn partition(&self, document_id: i64) -> i32 {
        partition_of(&record::entry_key(document_id), self.common.options.partitions).cast_signed()
    }

    /// What the quarantine topic says of a partition, or of all but those that are ours.
    pub(in crate::queue::kafka) fn quarantine_rows(&self, wanted: impl Fn(i32) -> bool) -> Vec<Entry> {
        let rows = self.quarantine.rows();
        let entries = rows.iter().filter(|(key, row)| wanted(row.partition) && !is_refused(key));
        let read = entries.filter_map(|(key, row)| match record::quarantined_entry(key, &row.value) {
            Ok(entry) => Some(entry),
            Err(error) => {
                let key = String::from_utf8_lossy(key).into_owned();
                tracing::error!(topic = %self.quarantine_topic, key, %error, "a quarantined entry cannot be read");
                None
            }
        });
        read.collect()
    }

    /// All entries in quarantine, by document. For our own partitions the window knows best.
    async fn all_quarantined(&self) -> Result<BTreeMap<i64, Entry>, QueueError> {
        self.alive()?;
        self.quarantine.sync().await?;
        let owned: BTreeSet<i32> = self.window().reads().map(|(partition, _)| partition).collect();
        let others = self.quarantine_rows(|partition| !owned.contains(&partition));
        let ours: Vec<Entry> = self.window().quarantined().cloned().collect();
        Ok(others.into_iter().chain(ours).map(|entry| (entry.work.document_id, entry)).collect())
    }

    pub(in crate::queue::kafka) async fn quarantined(
        &self,
        after: Option<i64>,
        max: usize,
    ) -> Result<Vec<Quarantined>, QueueError> {
        let all = self.all_quarantined().await?;
        let after = all.into_iter().filter(|(document_id, _)| after.is_none_or(|after| *document_id > after));
        Ok(after.take(max).map(|(_, entry)| Quarantined::from(entry)).collect())
    }

    /// Tells whoever owns the documents' partitions what an operator wants.
    pub(in crate::queue::kafka) async fn command(
        &self,
        document_ids: Vec<i64>,
        command: fn(Command) -> Vec<u8>,
    ) -> Result<u64, QueueError> {
        let wanted: BTreeSet<i64> = document_ids.into_iter().collect();
        let all = self.all_quarantined().await?;
        let meant = all.iter().filter(|(document_id, _)| wanted.contains(document_id));
        let records: Vec<Outgoing> = meant
            .map(|(document_id, entry)| {
                let last_failed_at_ms = entry.failure.as_ref().map_or(0, |failure| failure.last_ms);
                Outgoing {
                    topic: Arc::clone(&self.work_topic),
                    partition: Some(self.partition(*document_id)),
                    key: record::command_key(),
                    value: Some(command(Command { document_id: *document_id, last_failed_at_ms })),
                    note: None,
                }
            })
            .collect();
        let written = self.common.producer.write(&records, |_| self.alive().is_ok()).await?;
        self.alive()?;
        self.seen(&written).await;
        Ok(records.len() as u64)
    }

    /// How many entries stand in the quarantine of partitions that are not ours.
    pub(in crate::queue::kafka) async fn quarantined_elsewhere(
        &self,
        owned: &BTreeSet<i32>,
    ) -> Result<u64, QueueError> {
        if owned.len() == self.common.options.partitions as usize {
            return Ok(0);
        }
        self.quarantine.sync().await?;
        Ok(self.quarantine_rows(|partition| !owned.contains(&partition)).len() as u64)
    }
}
