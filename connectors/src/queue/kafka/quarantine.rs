//! The quarantine topic of a work topic: quarantined entries, written by the owner of the document's partition, and copies
//! of records that no version could read.
//!
//! The key of an entry is that of the work topic. The key of an unreadable record is `refused/PARTITION/OFFSET` of the work
//! topic; a header says why it could not be read. Entries of the quarantine topic that cannot be decoded are listed with
//! the unreadable records, under their own keys.

use std::sync::Arc;

use millstream_pipeline::queue::entry::Entry;
use millstream_pipeline::queue::{QueueError, Unreadable};

use super::producer::{OutgoingRecord, Written};
use super::record;
use super::table::{REASON_HEADER, TopicRow, TopicTable};

/// Prefix of the keys of unreadable records.
const UNREADABLE_PREFIX: &str = "refused/";

/// A quarantine topic, followed.
pub(super) struct QuarantineTopic {
    topic: Arc<str>,
    work_topic: Arc<str>,
    table: Arc<TopicTable>,
}

impl QuarantineTopic {
    pub(super) fn new(topic: &str, work_topic: &Arc<str>, table: Arc<TopicTable>) -> Self {
        Self { topic: Arc::from(topic), work_topic: Arc::clone(work_topic), table }
    }

    /// The topic's table, which also answers queries for the group's commits.
    pub(super) const fn table(&self) -> &Arc<TopicTable> {
        &self.table
    }

    /// Returns the quarantined entries of the partitions that `is_wanted` selects.
    pub(super) fn entries(&self, is_wanted: impl Fn(i32) -> bool) -> Vec<Entry> {
        let rows = self.table.rows();
        let entries = rows.iter().filter(|(key, row)| is_wanted(row.partition) && !is_unreadable_key(key));
        let decoded = entries.filter_map(|(key, row)| match record::quarantined_entry(key, &row.value) {
            Ok(entry) => Some(entry),
            Err(error) => {
                let key = String::from_utf8_lossy(key).into_owned();
                tracing::error!(topic = %self.topic, key, %error, "failed to read a quarantined entry");
                None
            }
        });
        decoded.collect()
    }

    /// Returns the record that makes the topic agree with the state of a document: its entry, or a tombstone.
    pub(super) fn entry_record(&self, document_id: i64, partition: i32, entry: Option<&Entry>) -> OutgoingRecord {
        OutgoingRecord {
            topic: Arc::clone(&self.topic),
            partition: Some(partition),
            key: record::entry_key(document_id),
            value: entry.map(record::quarantined),
            header: None,
        }
    }

    /// Returns the record that keeps a copy of an unreadable record.
    pub(super) fn unreadable_record(
        &self,
        (partition, offset): (i32, i64),
        value: Option<Vec<u8>>,
        reason: String,
    ) -> OutgoingRecord {
        OutgoingRecord {
            topic: Arc::clone(&self.topic),
            partition: Some(partition),
            key: format!("{UNREADABLE_PREFIX}{partition}/{offset}").into_bytes(),
            value: Some(value.unwrap_or_default()),
            header: Some((REASON_HEADER, reason)),
        }
    }

    /// Returns the unreadable records.
    pub(super) fn unreadable(&self) -> Vec<Unreadable> {
        self.unreadable_rows().into_iter().map(|(_, _, unreadable)| unreadable).collect()
    }

    /// Counts the unreadable records, as far as the topic was followed.
    pub(super) fn unreadable_count(&self) -> u64 {
        let rows = self.table.rows();
        rows.iter().filter(|(key, row)| unreadable_reason(key, row).is_some()).count() as u64
    }

    /// Returns tombstones for the unreadable records at these places.
    pub(super) fn unreadable_tombstones(&self, places: &[String]) -> Vec<OutgoingRecord> {
        let rows = self.unreadable_rows().into_iter();
        let selected = rows.filter(|(_, _, unreadable)| places.contains(&unreadable.place));
        selected
            .map(|(key, partition, _)| OutgoingRecord {
                topic: Arc::clone(&self.topic),
                partition: Some(partition),
                key,
                value: None,
                header: None,
            })
            .collect()
    }

    /// Waits until the table has records that were written to the topic.
    pub(super) async fn reach(&self, written: &[Option<Written>]) -> Result<(), QueueError> {
        let ends: Vec<(i32, i64)> = written.iter().flatten().map(|at| (at.partition, at.offset + 1)).collect();
        self.table.reach(&ends).await
    }

    /// Returns the unreadable records with their keys and partitions in the quarantine topic.
    fn unreadable_rows(&self) -> Vec<(Vec<u8>, i32, Unreadable)> {
        let rows = self.table.rows();
        let unreadable = rows.iter().filter_map(|(key, row)| {
            let reason = unreadable_reason(key, row)?;
            let name = String::from_utf8_lossy(key);
            let place = match name.strip_prefix(UNREADABLE_PREFIX) {
                Some(in_work_topic) => format!("{}/{in_work_topic}", self.work_topic),
                None => format!("{}/{}/{name}", self.topic, row.partition),
            };
            Some((key.clone(), row.partition, Unreadable { place, reason, value: row.value.clone() }))
        });
        unreadable.collect()
    }
}

fn is_unreadable_key(key: &[u8]) -> bool {
    key.starts_with(UNREADABLE_PREFIX.as_bytes())
}

/// Returns why a row of the quarantine topic is listed as unreadable; `None` for an entry.
fn unreadable_reason(key: &[u8], row: &TopicRow) -> Option<String> {
    if is_unreadable_key(key) {
        let unknown = || "an older version kept it without saying why".to_owned();
        return Some(row.reason.clone().unwrap_or_else(unknown));
    }
    record::quarantined_entry(key, &row.value).err().map(|error| error.to_string())
}
