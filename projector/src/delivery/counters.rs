//! What is counted of one lane: each number once, for the metrics and for `status` alike.

use super::Shared;
use super::round::{Found, Round};
use crate::counters::eta_ms;
use crate::error::ProjectorError;
use crate::metrics as names;
use crate::status::ErrorReport;
use millstream_pipeline::queue::QueueStats;
use millstream_pipeline::sink::{Outcome, RetryCause};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// How one sink is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LaneReport {
    /// Name of the lane.
    pub name: String,
    /// What the sink is and where; empty while it cannot be opened.
    pub sink: String,
    /// Entries that wait, those in quarantine not counted.
    pub depth: u64,
    /// Those of them being delivered.
    pub in_flight: u64,
    /// Those of them that wait for their time.
    pub delayed: u64,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Records of the lane that nobody could read.
    pub unreadable: u64,
    /// Age of the oldest entry, from the arrival of its change.
    pub oldest_age_ms: u64,
    /// Deliveries that the sink confirmed, since the start.
    pub delivered: u64,
    /// The same, in the last second.
    pub delivered_per_s: u64,
    /// The newest version that the sink confirmed or had already, since the start: how far it has come.
    pub version: u64,
    /// Deliveries that the sink had already, or something newer.
    pub superseded: u64,
    /// Deliveries that had to be made again.
    pub retried: u64,
    /// Deliveries that the sink refused.
    pub rejected: u64,
    /// Requests that may be under way at the same time.
    pub concurrency: u64,
    /// Requests under way.
    pub requests: u64,
    /// Milliseconds until the lane is empty at the rate of the last second; none if it does not get shorter.
    pub eta_ms: Option<u64>,
    /// The last thing that went wrong since the start.
    pub last_error: Option<ErrorReport>,
    /// Why nothing can be delivered any more, if so.
    pub fatal: Option<String>,
}

impl LaneReport {
    /// The report of a lane whose sink could not be opened.
    pub(crate) fn closed(name: &str, stats: &QueueStats, problem: String) -> Self {
        Self {
            name: name.to_owned(),
            depth: stats.depth,
            in_flight: stats.in_flight,
            delayed: stats.delayed,
            quarantined: stats.quarantined,
            unreadable: stats.unreadable,
            oldest_age_ms: stats.oldest_age_ms,
            eta_ms: eta_ms(stats.depth, 0),
            fatal: Some(problem),
            ..Self::default()
        }
    }
}

/// Counters and levels of one lane.
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
        count_from_zero(lane);
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

    /// How much is under way. Published with the status.
    pub(super) fn in_flight(&self, requests: usize, allowed: usize) {
        self.requests.store(requests as u64, Ordering::Relaxed);
        self.concurrency.store(allowed as u64, Ordering::Relaxed);
    }

    pub(super) fn complained(&self, at_ms: u64, text: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(ErrorReport { at_ms, text });
    }

    pub(super) fn settled(&self, round: &Round, quarantined: u64, now_ms: u64) {
        for attempt in &round.attempts {
            match &attempt.found {
                Found::Answered { outcome: Outcome::Done, .. } => {
                    self.reached(attempt.taken.work.version);
                    self.count(&self.delivered, names::LANE_DELIVERED);
                    if !attempt.taken.work.low_priority {
                        let lag_ms = now_ms.saturating_sub(attempt.taken.work.first_enqueued_at_ms);
                        metrics::histogram!(names::LANE_LAG_MS, "lane" => self.lane.clone()).record(lag_ms as f64);
                    }
                }
                Found::Answered { outcome: Outcome::Superseded, .. } => {
                    self.reached(attempt.taken.work.version);
                    self.count(&self.superseded, names::LANE_SUPERSEDED);
                }
                Found::Answered { outcome: Outcome::Rejected { .. }, .. } => {
                    self.count(&self.rejected, names::LANE_REJECTED);
                }
                Found::Answered { outcome: Outcome::Retry { cause, .. }, .. } => self.count_retry(named(*cause)),
                Found::Uncached => self.count_retry("uncached"),
                Found::Unread => self.count_retry("unread"),
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

/// Why a delivery had to be made again, as the label `cause` has it: what the sink said, that the body was not there yet,
/// or that the database did not say.
const RETRY_CAUSES: [&str; 6] = ["throttled", "unavailable", "unanswered", "failed", "uncached", "unread"];

const fn named(cause: RetryCause) -> &'static str {
    match cause {
        RetryCause::Throttled => "throttled",
        RetryCause::Unavailable => "unavailable",
        RetryCause::Unanswered => "unanswered",
        RetryCause::Failed => "failed",
    }
}

/// A lane's counters are there, at 0, before the first delivery: also while its sink cannot be opened.
pub(crate) fn count_from_zero(lane: &str) {
    for name in [names::LANE_DELIVERED, names::LANE_SUPERSEDED, names::LANE_REJECTED, names::LANE_QUARANTINES] {
        metrics::counter!(name, "lane" => lane.to_owned()).increment(0);
    }
    for cause in RETRY_CAUSES {
        metrics::counter!(names::LANE_RETRIED, "lane" => lane.to_owned(), "cause" => cause).increment(0);
    }
}

/// Measures the rate until it is told to stop.
pub(super) async fn measure(shared: &Shared, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let counters = &shared.counters;
    let mut before = (shared.now_ms(), 0);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = shared.deps.clock.sleep(shared.deps.options.gauge_interval) => {}
        }
        let now = (shared.now_ms(), counters.delivered.load(Ordering::Relaxed));
        let per_s = (now.1 - before.1) * 1_000 / now.0.saturating_sub(before.0).max(1);
        counters.delivered_per_s.store(per_s, Ordering::Relaxed);
        before = now;
    }
}

pub(super) async fn report(shared: &Shared, fatal: Option<String>) -> Result<LaneReport, ProjectorError> {
    let stats = shared.deps.lane.stats().await.map_err(ProjectorError::queue("reading a lane's counters"))?;
    let counters = &shared.counters;
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(LaneReport {
        name: shared.deps.name.clone(),
        sink: shared.deps.sink.describe(),
        depth: stats.depth,
        in_flight: stats.in_flight,
        delayed: stats.delayed,
        quarantined: stats.quarantined,
        unreadable: stats.unreadable,
        oldest_age_ms: stats.oldest_age_ms,
        delivered: get(&counters.delivered),
        delivered_per_s: get(&counters.delivered_per_s),
        version: get(&counters.version),
        superseded: get(&counters.superseded),
        retried: get(&counters.retried),
        rejected: get(&counters.rejected),
        concurrency: get(&counters.concurrency),
        requests: get(&counters.requests),
        eta_ms: eta_ms(stats.depth, get(&counters.delivered_per_s)),
        last_error: counters.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        fatal,
    })
}
