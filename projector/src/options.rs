//! What an operator can set, with the defaults that the figures in the documentation were measured with.

use millstream_pipeline::Backoff;
use std::time::Duration;

/// Which part of the work a process does. All parts of one database share its queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// It follows the outbox and fills the queue: a relay.
    Intake,
    /// It works the queue off: cascades and rebuilds.
    Work,
}

/// Name under which progress is stored, unless a projector is given another.
pub(crate) const CONSUMER: &str = "projector";

/// Settings of one projector.
#[derive(Debug, Clone)]
pub struct ProjectorOptions {
    /// Which part of the work it does.
    pub part: Part,
    /// Name under which progress is stored in `dms.ProjectionProgress`.
    pub consumer: String,
    /// Change records that go into the queue in one durable batch at most.
    pub intake_batch_max: usize,
    /// How often the recovery watermark is written while changes arrive.
    pub watermark_interval: Duration,
    /// How often it is written while nothing arrives (it costs a little WAL).
    pub watermark_idle_interval: Duration,
    /// Delay between attempts to reach a source that failed.
    pub source_backoff: Backoff,

    /// Documents that one rebuild reads in one snapshot at most.
    pub rebuild_batch_max: usize,
    /// Rebuild batches in flight, so that the database and composing overlap.
    pub rebuild_workers: usize,
    /// Pause of a worker while the database is away or refuses everything.
    pub outage_backoff: Backoff,
    /// Delay before a document whose change is not visible yet is looked at again.
    pub visibility_backoff: Backoff,
    /// A change that is not visible after this time raises an alarm. It is still waited for: never done, never poison.
    pub visibility_deadline: Duration,
    /// Delay before a document that could not be composed or stored is tried again. After how many attempts it is
    /// quarantined is a setting of the queue, which counts them.
    pub poison_backoff: Backoff,

    /// Referrers that one cascade transaction looks at.
    pub cascade_page: usize,
    /// Cascades worked off at the same time: a small rename does not wait for a huge one.
    pub cascade_workers: usize,
    /// How often `dms.Cascade` is looked at without being told to.
    pub cascade_scan_interval: Duration,

    /// Documents that one page of a resynchronisation compares.
    pub resync_page: usize,
    /// A resynchronisation pauses while the queue holds more entries than this.
    pub resync_queue_max: u64,

    /// How often gauges are measured and published.
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
