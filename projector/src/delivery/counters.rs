//! The counters of one lane. Each number is kept once and serves both the metrics and `status`.

use super::attempt::{AttemptResult, Round};
use crate::counters::eta_ms;
use crate::metrics as names;
use crate::status::ErrorReport;
use millstream_pipeline::queue::QueueStats;
use millstream_pipeline::sink::{Outcome, RetryCause};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The report about one lane and its sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneReport {
    /// Name of the lane.
    pub name: String,
    /// Description of the sink; empty while it cannot be opened.
    pub sink: String,
    /// Entries, without those in quarantine.
    pub depth: u64,
    /// Entries being delivered.
    pub in_flight: u64,
    /// Entries that wait for their retry time.
    pub delayed: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Records of the lane that cannot be decoded.
    pub unreadable: u64,
    /// Age of the oldest entry, from the arrival of its change.
    pub oldest_age_ms: u64,
    /// Deliveries that the sink confirmed, since the start.
    pub delivered: u64,
    /// The same, in the last second.
    pub delivered_per_s: u64,
    /// The newest version that the sink confirmed or already had, since the start.
    pub version: u64,
    /// Deliveries of a version that the sink already had, or a newer one.
    pub superseded: u64,
    /// Deliveries to be retried.
    pub retried: u64,
    /// Deliveries that the sink rejected.
    pub rejected: u64,
    /// Current limit of concurrent requests.
    pub concurrency: u64,
    /// Requests in flight.
    pub requests: u64,
    /// Milliseconds until the lane is empty, at the rate of the last second; `None` if it does not get shorter.
    pub eta_ms: Option<u64>,
    /// The last error since the start.
    pub last_error: Option<ErrorReport>,
    /// The reason why nothing can be delivered, if so.
    pub fatal: Option<String>,
}

impl LaneReport {
    /// Returns the report about a lane whose sink could not be opened.
    pub(crate) fn closed(name: &str, stats: &QueueStats, problem: String) -> Self {
        Self { eta_ms: eta_ms(stats.depth, 0), fatal: Some(problem), ..Self::of_queue(name, stats) }
    }

    /// The part of a report that the queue knows.
    fn of_queue(name: &str, stats: &QueueStats) -> Self {
        Self {
            name: name.to_owned(),
            depth: stats.depth,
            in_flight: stats.in_flight,
            delayed: stats.delayed,
            quarantined: stats.quarantined,
            unreadable: stats.unreadable,
            oldest_age_ms: stats.oldest_age_ms,
            ..Self::default()
        }
    }
}

/// The counters and gauges of one lane.
#[derive(Debug)]
pub(crate) struct LaneCounters {
    lane: String,
    delivered: AtomicU64,
    superseded: AtomicU64,
    retried: AtomicU64,
    rejected: AtomicU64,
    delivered_per_s: AtomicU64,
    version: AtomicU64,
    concurrency: AtomicU64,
    requests: AtomicU64,
    last_error: Mutex<Option<ErrorReport>>,
}

impl LaneCounters {
    pub(super) fn new(lane: &str) -> Self {
        let zero = || AtomicU64::new(0);
        register(lane);
        Self {
            lane: lane.to_owned(),
            delivered: zero(),
            superseded: zero(),
            retried: zero(),
            rejected: zero(),
            delivered_per_s: zero(),
            version: zero(),
            concurrency: zero(),
            requests: zero(),
            last_error: Mutex::default(),
        }
    }

    fn count(&self, counter: &AtomicU64, name: &'static str) {
        counter.fetch_add(1, Ordering::Relaxed);
        metrics::counter!(name, "lane" => self.lane.clone()).increment(1);
    }

    /// Sets the requests in flight and their limit. They are exported with the status.
    pub(super) fn set_requests(&self, requests: usize, allowed: usize) {
        self.requests.store(requests as u64, Ordering::Relaxed);
        self.concurrency.store(allowed as u64, Ordering::Relaxed);
    }

    /// Sets the rate of confirmed deliveries.
    pub(super) fn set_rate(&self, delivered_per_s: u64) {
        self.delivered_per_s.store(delivered_per_s, Ordering::Relaxed);
    }

    /// Returns the number of confirmed deliveries.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Keeps an error for `status`.
    pub(super) fn record_error(&self, at_ms: u64, text: String) {
        *self.last_error.lock() = Some(ErrorReport { at_ms, text });
    }

    /// Returns the report about the lane.
    pub(super) fn report(&self, sink: String, stats: &QueueStats, fatal: Option<String>) -> LaneReport {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LaneReport {
            sink,
            delivered: get(&self.delivered),
            delivered_per_s: get(&self.delivered_per_s),
            version: get(&self.version),
            superseded: get(&self.superseded),
            retried: get(&self.retried),
            rejected: get(&self.rejected),
            concurrency: get(&self.concurrency),
            requests: get(&self.requests),
            eta_ms: eta_ms(stats.depth, get(&self.delivered_per_s)),
            last_error: self.last_error.lock().clone(),
            fatal,
            ..LaneReport::of_queue(&self.lane, stats)
        }
    }

    /// Counts a settled round.
    pub(super) fn count_round(&self, round: &Round, quarantined: u64, now_ms: u64) {
        for attempt in &round.attempts {
            match &attempt.result {
                AttemptResult::Answered { outcome: Outcome::Done, .. } => {
                    self.reached(attempt.taken.work.version);
                    self.count(&self.delivered, names::LANE_DELIVERED);
                    if !attempt.taken.work.low_priority {
                        let lag_ms = now_ms.saturating_sub(attempt.taken.work.first_enqueued_at_ms);
                        metrics::histogram!(names::LANE_LAG_MS, "lane" => self.lane.clone()).record(lag_ms as f64);
                    }
                }
                AttemptResult::Answered { outcome: Outcome::Superseded, .. } => {
                    self.reached(attempt.taken.work.version);
                    self.count(&self.superseded, names::LANE_SUPERSEDED);
                }
                AttemptResult::Answered { outcome: Outcome::Rejected { .. }, .. } => {
                    self.count(&self.rejected, names::LANE_REJECTED);
                }
                AttemptResult::Answered { outcome: Outcome::Retry { cause, .. }, .. } => {
                    self.count_retry(cause_label(*cause))
                }
                AttemptResult::Uncached => self.count_retry("uncached"),
                AttemptResult::Unread => self.count_retry("unread"),
            }
        }
        if quarantined > 0 {
            metrics::counter!(names::LANE_QUARANTINES, "lane" => self.lane.clone()).increment(quarantined);
        }
    }

    fn reached(&self, version: i64) {
        self.version.fetch_max(version.max(0) as u64, Ordering::Relaxed);
    }

    fn count_retry(&self, cause: &'static str) {
        self.retried.fetch_add(1, Ordering::Relaxed);
        metrics::counter!(names::LANE_RETRIED, "lane" => self.lane.clone(), "cause" => cause).increment(1);
    }
}

/// Values of the label `cause`: the sink's causes, a body that is not cached yet, and a database that could not be
/// read.
const RETRY_CAUSES: [&str; 6] = ["throttled", "unavailable", "unanswered", "failed", "uncached", "unread"];

const fn cause_label(cause: RetryCause) -> &'static str {
    match cause {
        RetryCause::Throttled => "throttled",
        RetryCause::Unavailable => "unavailable",
        RetryCause::Unanswered => "unanswered",
        RetryCause::Failed => "failed",
    }
}

/// Registers a lane's counters at 0, before the first delivery and also while its sink cannot be opened.
pub(crate) fn register(lane: &str) {
    for name in [names::LANE_DELIVERED, names::LANE_SUPERSEDED, names::LANE_REJECTED, names::LANE_QUARANTINES] {
        metrics::counter!(name, "lane" => lane.to_owned()).increment(0);
    }
    for cause in RETRY_CAUSES {
        metrics::counter!(names::LANE_RETRIED, "lane" => lane.to_owned(), "cause" => cause).increment(0);
    }
}
