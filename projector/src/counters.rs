//! The counters of a projector. Each number is kept once and serves both the metrics and `status`.

use crate::metrics as names;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter with its metric.
#[derive(Debug)]
pub(crate) struct Counter {
    name: &'static str,
    value: AtomicU64,
}

impl Counter {
    /// Registers the metric at 0: a metric that appears with its first event cannot be alerted on.
    fn new(name: &'static str) -> Self {
        metrics::counter!(name).increment(0);
        Self { name, value: AtomicU64::new(0) }
    }

    pub(crate) fn add(&self, n: usize) {
        if n == 0 {
            return;
        }
        self.value.fetch_add(n as u64, Ordering::Relaxed);
        metrics::counter!(self.name).increment(n as u64);
    }

    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// A gauge with its metric.
#[derive(Debug)]
pub(crate) struct GaugeValue {
    name: &'static str,
    value: AtomicU64,
}

impl GaugeValue {
    fn new(name: &'static str) -> Self {
        metrics::gauge!(name).set(0.0);
        Self { name, value: AtomicU64::new(0) }
    }

    /// Raises it to `value`; never lowers it.
    pub(crate) fn raise(&self, value: u64) {
        let before = self.value.fetch_max(value, Ordering::Relaxed);
        metrics::gauge!(self.name).set(before.max(value) as f64);
    }

    pub(crate) fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
        metrics::gauge!(self.name).set(value as f64);
    }

    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// An estimated time to completion, possibly infinite, with its metric.
#[derive(Debug)]
pub(crate) struct Eta {
    name: &'static str,
    /// `u64::MAX` for infinite.
    value_ms: AtomicU64,
}

impl Eta {
    fn new(name: &'static str) -> Self {
        metrics::gauge!(name).set(0.0);
        Self { name, value_ms: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, value_ms: Option<u64>) {
        self.value_ms.store(value_ms.unwrap_or(u64::MAX), Ordering::Relaxed);
        metrics::gauge!(self.name).set(gauge_of(value_ms));
    }

    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.value_ms.load(Ordering::Relaxed)).filter(|value_ms| *value_ms != u64::MAX)
    }
}

/// Returns an estimate as a gauge value. No estimate is infinity, which exceeds every threshold.
pub(crate) fn gauge_of(eta_ms: Option<u64>) -> f64 {
    eta_ms.map_or(f64::INFINITY, |eta_ms| eta_ms as f64)
}

/// Returns the time to process `left` at a rate; `None` if it does not decrease.
pub(crate) fn eta_ms(left: u64, per_s: u64) -> Option<u64> {
    match (left, per_s) {
        (0, _) => Some(0),
        (_, 0) => None,
        (left, per_s) => Some(left.saturating_mul(1_000) / per_s),
    }
}

macro_rules! counters {
    ($($field:ident: $kind:ident = $name:ident,)*) => {
        /// The counters and gauges of one projector, since its start.
        #[derive(Debug)]
        pub(crate) struct Counters {
            $(pub(crate) $field: $kind,)*
        }

        impl Default for Counters {
            fn default() -> Self {
                Self { $($field: $kind::new(names::$name),)* }
            }
        }
    };
}

counters! {
    changes: Counter = INTAKE_CHANGES,
    batches: Counter = INTAKE_BATCHES,
    source_failures: Counter = INTAKE_SOURCE_FAILURES,
    connected: GaugeValue = INTAKE_CONNECTED,
    lag: GaugeValue = INTAKE_LAG,
    watermarks: Counter = INTAKE_WATERMARKS,
    stored: Counter = REBUILD_STORED,
    repaired: Counter = REBUILD_REPAIRED,
    superseded: Counter = REBUILD_SUPERSEDED,
    gone: Counter = REBUILD_GONE,
    awaits_stamp: Counter = REBUILD_AWAITS_STAMP,
    not_visible: Counter = REBUILD_HELD,
    contradicted: Counter = REBUILD_CONTRADICTED,
    waits: GaugeValue = REBUILD_HOLDS,
    alarms: Counter = REBUILD_ALARMS,
    failures: Counter = REBUILD_FAILURES,
    quarantines: Counter = REBUILD_QUARANTINES,
    rebuilds: Counter = REBUILD_BATCHES,
    pages: Counter = CASCADE_PAGES,
    stamped: Counter = CASCADE_STAMPED,
    cascades_finished: Counter = CASCADE_FINISHED,
    cascades_open: GaugeValue = CASCADE_OPEN,
    cascades_age_ms: GaugeValue = CASCADE_OLDEST_AGE_MS,
    cascade_failures: Counter = CASCADE_FAILURES,
    compared: Counter = RESYNC_COMPARED,
    enqueued: Counter = RESYNC_ENQUEUED,
    resyncing: GaugeValue = RESYNC_RUNNING,
    stored_per_s: GaugeValue = REBUILD_STORED_PER_S,
    stored_version: GaugeValue = REBUILD_VERSION,
    changes_per_s: GaugeValue = INTAKE_CHANGES_PER_S,
    stamped_per_s: GaugeValue = CASCADE_STAMPED_PER_S,
    behind_ms: GaugeValue = INTAKE_BEHIND_MS,
    source_eta: Eta = INTAKE_ETA_MS,
}
