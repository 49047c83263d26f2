//! Records that this version cannot read: kept in the quarantine topic as they were, listed, and let go of by an operator.
//!
//! Their keys say where they stood, `refused/PARTITION/OFFSET` of the work topic; a header says what was wrong with them.
//! Entries of the quarantine topic itself that cannot be read are listed with them, under their own keys.

use std::sync::Arc;

use millstream_pipeline::queue::{QueueError, Unreadable};

use super::Station;
use crate::queue::kafka::producer::{Note, Outgoing};
use crate::queue::kafka::record;
use crate::queue::kafka::table::Row;

/// Keys of records that nobody could read begin so.
const REFUSED: &str = "refused/";

/// The header that says what was wrong.
pub(in crate::queue::kafka) const REASON: &str = "reason";

/// Whether a row of the quarantine topic is a record that nobody could read.
pub(super) fn is_refused(key: &[u8]) -> bool {
    key.starts_with(REFUSED.as_bytes())
}

impl Station {
    /// Keeps a record that nobody can read.
    pub(in crate::queue::kafka) async fn keep_refused(
        &self,
        (partition, offset): (i32, i64),
        value: Option<Vec<u8>>,
        reason: String,
    ) -> Result<(), QueueError> {
        let record = Outgoing {
            topic: Arc::clone(&self.quarantine_topic),
            partition: Some(partition),
            key: format!("{REFUSED}{partition}/{offset}").into_bytes(),
            value: Some(value.unwrap_or_default()),
            note: Some(Note { name: REASON, text: reason }),
        };
        self.common.producer.write(&[record], |_| self.alive().is_ok()).await.map(|_| ())
    }

    /// All that are kept.
    pub(in crate::queue::kafka) async fn unreadable(&self) -> Result<Vec<Unreadable>, QueueError> {
        self.alive()?;
        self.quarantine.sync().await?;
        Ok(self.kept().into_iter().map(|(_, _, unreadable)| unreadable).collect())
    }

    /// How many are kept, as far as that was heard of.
    pub(in crate::queue::kafka) fn unreadable_count(&self) -> u64 {
        let rows = self.quarantine.rows();
        rows.iter().filter(|(key, row)| wrong(key, row).is_some()).count() as u64
    }

    /// Lets go of those at these places.
    pub(in crate::queue::kafka) async fn discard_unreadable(&self, places: Vec<String>) -> Result<u64, QueueError> {
        self.alive()?;
        self.quarantine.sync().await?;
        let meant = self.kept().into_iter().filter(|(_, _, unreadable)| places.contains(&unreadable.place));
        let gone = |(key, partition, _)| Outgoing {
            topic: Arc::clone(&self.quarantine_topic),
            partition: Some(partition),
            key,
            value: None,
            note: None,
        };
        let records: Vec<Outgoing> = meant.map(gone).collect();
        let written = self.common.producer.write(&records, |_| self.alive().is_ok()).await?;
        self.quarantine.reach_written(&written).await?;
        Ok(records.len() as u64)
    }

    /// With their keys and partitions in the quarantine topic.
    fn kept(&self) -> Vec<(Vec<u8>, i32, Unreadable)> {
        let rows = self.quarantine.rows();
        let kept = rows.iter().filter_map(|(key, row)| {
            let reason = wrong(key, row)?;
            let name = String::from_utf8_lossy(key);
            let place = match name.strip_prefix(REFUSED) {
                Some(stood) => format!("{}/{stood}", self.work_topic),
                None => format!("{}/{}/{name}", self.quarantine_topic, row.partition),
            };
            Some((key.clone(), row.partition, Unreadable { place, reason, value: row.value.clone() }))
        });
        kept.collect()
    }
}

/// Why a row of the quarantine topic cannot be read, if it cannot.
fn wrong(key: &[u8], row: &Row) -> Option<String> {
    if is_refused(key) {
        let unsaid = || "an older version kept it without saying why".to_owned();
        return Some(row.reason.clone().unwrap_or_else(unsaid));
    }
    record::quarantined_entry(key, &row.value).err().map(|error| error.to_string())
}
