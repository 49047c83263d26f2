//! Settings of a projector. The numbers in the documentation are measured with the defaults.

use millstream_pipeline::Backoff;
use std::time::Duration;

/// The tasks that a process runs. All parts of one database share its queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// All tasks.
    #[default]
    Whole,
    /// The intake only: follows the outbox and fills the queue, as a relay.
    Intake,
    /// Cascades and rebuilds only: works the queue off.
    Work,
}

/// Name under which progress is stored, unless a projector is given another.
pub(crate) const CONSUMER: &str = "projector";

/// Settings of one projector.
#[derive(Debug, Clone)]
pub struct ProjectorOptions {
    /// The tasks that the process runs.
    pub part: Part,
    /// Name under which progress is stored in `dms.ProjectionProgress`.
    pub consumer: String,
    /// Most change records in one durable batch.
    pub intake_batch_max: usize,
    /// Interval at which the recovery watermark is stored while changes arrive.
    pub watermark_interval: Duration,
    /// The same while no changes arrive: storing it writes a little WAL.
    pub watermark_idle_interval: Duration,
    /// Delay between attempts to open a source that failed.
    pub source_backoff: Backoff,

    /// Most documents that one rebuild reads in one snapshot.
    pub rebuild_batch_max: usize,
    /// Rebuild batches in flight, so that database reads and composing overlap.
    pub rebuild_workers: usize,
    /// Pause of a worker while the database is unreachable or refuses every statement.
    pub outage_backoff: Backoff,
    /// Delay before a document whose change is not visible yet is read again.
    pub visibility_backoff: Backoff,
    /// A change that is not visible after this time raises an alarm. The wait continues: it is neither done nor poison.
    pub visibility_deadline: Duration,
    /// Delay before a document that could not be composed or stored is retried. The queue counts the attempts; after
    /// how many a document is quarantined is a setting of the queue.
    pub poison_backoff: Backoff,

    /// Most referrers that one cascade transaction reads.
    pub cascade_page: usize,
    /// Cascades processed at the same time: a small rename does not wait for a huge one.
    pub cascade_workers: usize,
    /// Interval at which `dms.Cascade` is read without a notification.
    pub cascade_scan_interval: Duration,

    /// Documents that one page of a resync compares.
    pub resync_page: usize,
    /// A resync pauses while the queue holds more entries than this.
    pub resync_queue_max: u64,

    /// Interval at which gauges are measured and exported.
    pub gauge_interval: Duration,
}

impl Default for ProjectorOptions {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            part: Part::Whole,
            consumer: CONSUMER.to_owned(),
            intake_batch_max: 5_000,
            watermark_interval: ms(5_000),
            watermark_idle_interval: ms(300_000),
            source_backoff: Backoff { base: ms(100), ceiling: ms(10_000) },
            rebuild_batch_max: 200,
            rebuild_workers: 2,
            outage_backoff: Backoff { base: ms(50), ceiling: ms(5_000) },
            visibility_backoff: Backoff { base: ms(2), ceiling: ms(250) },
            visibility_deadline: ms(30_000),
            poison_backoff: Backoff { base: ms(200), ceiling: ms(60_000) },
            cascade_page: 500,
            cascade_workers: 2,
            cascade_scan_interval: ms(1_000),
            resync_page: 1_000,
            resync_queue_max: 200_000,
            gauge_interval: ms(1_000),
        }
    }
}
