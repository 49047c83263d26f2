//! How much there is at a station, in this process and beyond it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use millstream_pipeline::queue::{QueueError, QueueStats};

use super::Station;
use crate::queue::kafka::asker::Mark;

/// How a process takes part in the stage or a lane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// The partitions that it has now.
    pub owned: Vec<i32>,
    /// How many there are.
    pub partitions: u32,
    /// Records of its partitions that it has not read yet.
    pub unread: u64,
    /// Records that it could not read: they are kept in the quarantine topic, under keys that begin with `refused/`.
    pub refused: u64,
    /// How often partitions were taken from it.
    pub revocations: u64,
    /// Commits that the group refused, because the partitions were others' by then.
    pub commits_refused: u64,
}

impl Station {
    /// Entries that were read are counted as such; of records that nobody here has read each counts as an entry.
    pub(in crate::queue::kafka) async fn stats(&self) -> Result<QueueStats, QueueError> {
        self.alive()?;
        let reads: BTreeMap<i32, i64> = self.window().reads().collect();
        let owned: BTreeSet<i32> = reads.keys().copied().collect();
        let unread = self.unread(&reads).await?;
        let elsewhere = self.quarantined_elsewhere(&owned).await?;
        let mut stats = self.window().stats(self.now_ms());
        let unread = unread.values().sum::<u64>();
        (stats.depth, stats.ages_unknown) = (stats.depth + unread, unread > 0);
        stats.quarantined += elsewhere;
        stats.unreadable = self.unreadable_count();
        Ok(stats)
    }

    pub(in crate::queue::kafka) async fn membership(&self) -> Result<Membership, QueueError> {
        self.alive()?;
        let reads: BTreeMap<i32, i64> = self.window().reads().collect();
        let marks = self.common.asker.marks(&self.names.work, reads.keys().copied().collect()).await?;
        Ok(Membership {
            unread: marks.into_iter().map(|mark| count(reads[&mark.partition], mark.end)).sum(),
            owned: reads.into_keys().collect(),
            partitions: self.common.options.partitions,
            refused: self.counters.refused.load(Ordering::Relaxed),
            revocations: self.counters.revocations.load(Ordering::Relaxed),
            commits_refused: self.counters.commits_refused.load(Ordering::Relaxed),
        })
    }

    /// Records that were not read, in partitions that are ours, or not committed, in those of others.
    async fn unread(&self, reads: &BTreeMap<i32, i64>) -> Result<BTreeMap<i32, u64>, QueueError> {
        let topic = &self.names.work;
        let partitions: Vec<i32> = (0..self.common.options.partitions.cast_signed()).collect();
        let others: Vec<i32> = partitions.iter().copied().filter(|partition| !reads.contains_key(partition)).collect();
        let committed: BTreeMap<i32, i64> = if others.is_empty() {
            BTreeMap::new()
        } else {
            let committed = self.quarantine.committed(topic.clone(), others).await?;
            committed.into_iter().filter_map(|(partition, offset)| Some((partition, offset?))).collect()
        };
        let marks = self.common.asker.marks(topic, partitions).await?;
        let unread = marks.into_iter().map(|Mark { partition, low, end }| {
            let from = reads.get(&partition).or_else(|| committed.get(&partition)).copied().unwrap_or(low).max(low);
            (partition, count(from, end))
        });
        Ok(unread.collect())
    }
}

/// Records from one offset to another, which may have moved meanwhile.
fn count(from: i64, end: i64) -> u64 {
    u64::try_from(end.saturating_sub(from)).unwrap_or(0)
}
