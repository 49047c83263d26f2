//! State that the tasks of one projector share.

use crate::cascade::deferred::DeferredCascades;
use crate::counters::Counters;
use crate::error::ProjectorError;
use crate::intake::resync_state::ResyncState;
use crate::intake::source::{PositionKind, SourceFactory};
use crate::metrics as names;
use crate::options::ProjectorOptions;
use crate::rebuild::cancelled::CancelledRebuilds;
use crate::status::ErrorReport;
use crate::visibility_wait::VisibilityWaits;
use millstream_outbox::relay::FencingEpoch;
use millstream_pipeline::Position;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::error::chain;
use millstream_pipeline::memory::MemoryBudget;
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::source::SourceStatus;
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use millstream_store::load::Caches;
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The parts that a projector works with.
#[derive(Clone)]
pub struct Deps {
    /// The database. Its pool needs a connection per rebuild worker, one per cascade worker, and two more.
    pub database: Database,
    /// The compiled mapping that documents are composed with.
    pub mapping: Arc<Mapping>,
    /// Caches of composing, shared with every other component that composes from this database.
    pub caches: Arc<Caches>,
    /// The memory that rows and bodies of documents take, shared with every other component of the process.
    pub memory: MemoryBudget,
    /// The work queue.
    pub queue: Arc<dyn WorkQueue>,
    /// The source of changes.
    pub source: Arc<dyn SourceFactory>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Settings.
    pub options: ProjectorOptions,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps").field("database", &self.database).field("options", &self.options).finish_non_exhaustive()
    }
}

/// A change that a snapshot did not show yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Awaited {
    /// A transaction whose commit is not visible.
    Transaction(u64),
    /// A document whose rows are older than a visible change record.
    Document(i64),
}

/// One projector's shared state.
pub(crate) struct Context {
    pub(crate) deps: Deps,
    pub(crate) counters: Counters,
    /// Notified when a cascade has become visible.
    pub(crate) cascade_opened: Notify,
    /// The position up to which changes are durable in the queue.
    pub(crate) durable: watch::Sender<Position>,
    /// Whether the stream is complete, or a comparison of all documents is pending.
    pub(crate) resync: ResyncState,
    waits: Mutex<VisibilityWaits<Awaited>>,
    source: Mutex<SourceStatus>,
    position_kind: Mutex<PositionKind>,
    /// The epoch in which progress is stored, while this process holds the lease.
    epoch: Mutex<Option<FencingEpoch>>,
    /// The history of the database that is followed.
    history: AtomicI64,
    /// The largest version and DocumentId that the stream has named: a new history gives out neither.
    seen_version: AtomicI64,
    seen_document_id: AtomicI64,
    started: Instant,
    last_error: Mutex<Option<ErrorReport>>,
    cancelled_rebuilds: Mutex<CancelledRebuilds>,
    deferred_cascades: Mutex<DeferredCascades>,
}

impl Context {
    pub(crate) fn new(deps: Deps) -> Self {
        let waits = VisibilityWaits::new(deps.options.visibility_backoff, deps.options.visibility_deadline);
        Self {
            deps,
            counters: Counters::default(),
            cascade_opened: Notify::new(),
            durable: watch::Sender::new(Position::ZERO),
            resync: ResyncState::default(),
            waits: Mutex::new(waits),
            source: Mutex::default(),
            position_kind: Mutex::default(),
            epoch: Mutex::default(),
            history: AtomicI64::new(0),
            seen_version: AtomicI64::new(0),
            seen_document_id: AtomicI64::new(0),
            started: Instant::now(),
            last_error: Mutex::default(),
            cancelled_rebuilds: Mutex::default(),
            deferred_cascades: Mutex::default(),
        }
    }

    pub(crate) fn options(&self) -> &ProjectorOptions {
        &self.deps.options
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.deps.clock.now_ms()
    }

    /// Milliseconds since the start, unaffected by steps of the system clock.
    pub(crate) fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    pub(crate) fn history(&self) -> i64 {
        self.history.load(Ordering::Relaxed)
    }

    /// Records a version and a DocumentId of the stream.
    pub(crate) fn saw(&self, version: i64, document_id: i64) {
        self.seen_version.fetch_max(version, Ordering::Relaxed);
        self.seen_document_id.fetch_max(document_id, Ordering::Relaxed);
    }

    /// Returns the largest version and the largest DocumentId of the stream.
    pub(crate) fn seen(&self) -> (i64, i64) {
        (self.seen_version.load(Ordering::Relaxed), self.seen_document_id.load(Ordering::Relaxed))
    }

    pub(crate) fn set_history(&self, history: i64) {
        self.history.store(history, Ordering::Relaxed);
    }

    pub(crate) fn visibility_waits(&self) -> MutexGuard<'_, VisibilityWaits<Awaited>> {
        self.waits.lock()
    }

    pub(crate) fn cancelled_rebuilds(&self) -> MutexGuard<'_, CancelledRebuilds> {
        self.cancelled_rebuilds.lock()
    }

    pub(crate) fn deferred_cascades(&self) -> MutexGuard<'_, DeferredCascades> {
        self.deferred_cascades.lock()
    }

    pub(crate) fn source_status(&self) -> SourceStatus {
        self.source.lock().clone()
    }

    /// The kind of positions of the source that was opened last.
    pub(crate) fn position_kind(&self) -> PositionKind {
        *self.position_kind.lock()
    }

    pub(crate) fn set_position_kind(&self, kind: PositionKind) {
        *self.position_kind.lock() = kind;
    }

    pub(crate) fn epoch(&self) -> Option<FencingEpoch> {
        self.epoch.lock().clone()
    }

    pub(crate) fn set_epoch(&self, epoch: Option<FencingEpoch>) {
        *self.epoch.lock() = epoch;
    }

    pub(crate) fn set_source_status(&self, status: SourceStatus) {
        self.counters.connected.set(u64::from(status.connected));
        metrics::counter!(names::INTAKE_RECONNECTS).absolute(status.reconnects);
        self.counters.lag.set(status.server_position.lsn.saturating_sub(status.confirmed.lsn));
        *self.source.lock() = status;
    }

    pub(crate) fn last_error(&self) -> Option<ErrorReport> {
        self.last_error.lock().clone()
    }

    /// Keeps an error for `status`; returns it with its causes for the log.
    pub(crate) fn record(&self, error: &(dyn std::error::Error + 'static)) -> String {
        let text = chain(error);
        *self.last_error.lock() = Some(ErrorReport { at_ms: self.now_ms(), text: text.clone() });
        text
    }

    /// Keeps and logs a failure that will be retried.
    pub(crate) fn will_retry(&self, error: &ProjectorError, delay: std::time::Duration) {
        let error = self.record(error);
        tracing::warn!(error, delay_ms = delay.as_millis() as u64, "step failed; retrying after the delay");
    }
}
