//! Everything counted while the projector runs: each number once, for the metrics and for `status` alike.

use crate::metrics as names;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that is a metric too.
#[derive(Debug)]
pub(crate) struct Counter {
    name: &'static str,
    value: AtomicU64,
}

impl Counter {
    const fn new(name: &'static str) -> Self {
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

/// A value that goes up and down and is a metric too.
#[derive(Debug)]
pub(crate) struct Level {
    name: &'static str,
    value: AtomicU64,
}

impl Level {
    const fn new(name: &'static str) -> Self {
        Self { name, value: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
        metrics::gauge!(self.name).set(value as f64);
    }

    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

macro_rules! figures {
    ($($field:ident: $kind:ident = $name:ident,)*) => {
        /// The counters and levels of one projector, since its start.
        #[derive(Debug)]
        pub(crate) struct Figures {
            $(pub(crate) $field: $kind,)*
        }

        impl Default for Figures {
            fn default() -> Self {
                Self { $($field: $kind::new(names::$name),)* }
            }
        }
    };
}

figures! {
    changes: Counter = INTAKE_CHANGES,
    batches: Counter = INTAKE_BATCHES,
    source_failures: Counter = INTAKE_SOURCE_FAILURES,
    connected: Level = INTAKE_CONNECTED,
    lag_bytes: Level = INTAKE_LAG_BYTES,
    watermarks: Counter = INTAKE_WATERMARKS,
    stored: Counter = REBUILD_STORED,
    repaired: Counter = REBUILD_REPAIRED,
    superseded: Counter = REBUILD_SUPERSEDED,
    gone: Counter = REBUILD_GONE,
    awaits_stamp: Counter = REBUILD_AWAITS_STAMP,
    held: Counter = REBUILD_HELD,
    contradicted: Counter = REBUILD_CONTRADICTED,
    holds: Level = REBUILD_HOLDS,
    alarms: Counter = REBUILD_ALARMS,
    failures: Counter = REBUILD_FAILURES,
    quarantines: Counter = REBUILD_QUARANTINES,
    rebuilds: Counter = REBUILD_BATCHES,
    pages: Counter = CASCADE_PAGES,
    stamped: Counter = CASCADE_STAMPED,
    cascades_finished: Counter = CASCADE_FINISHED,
    cascades_open: Level = CASCADE_OPEN,
    cascades_age_ms: Level = CASCADE_OLDEST_AGE_MS,
    cascade_failures: Counter = CASCADE_FAILURES,
    compared: Counter = RESYNC_COMPARED,
    enqueued: Counter = RESYNC_ENQUEUED,
    resyncing: Level = RESYNC_RUNNING,
    queue_depth: Level = QUEUE_DEPTH,
    queue_oldest_ms: Level = QUEUE_OLDEST_AGE_MS,
    queue_bytes: Level = QUEUE_DISK_BYTES,
    quarantined: Level = QUEUE_QUARANTINED,
    stored_per_s: Level = REBUILD_STORED_PER_S,
    changes_per_s: Level = INTAKE_CHANGES_PER_S,
}
