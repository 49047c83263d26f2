//! What the tasks of one projector share.

use crate::counters::Counters;
use crate::error::{ProjectorError, chain};
use crate::intake::{PositionKind, ResyncState, SourceFactory};
use crate::metrics as names;
use crate::options::ProjectorOptions;
use crate::visibility_wait::VisibilityWaits;
use millstream_outbox::relay::FencingEpoch;
use millstream_pipeline::Position;
use millstream_pipeline::clock::Clock;
use millstream_pipeline::queue::WorkQueue;
use millstream_pipeline::source::SourceStatus;
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use millstream_store::load::Caches;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// What a projector is made of.
#[derive(Clone)]
pub struct Deps {
    /// The database, with a pool that holds at least a connection for each rebuild and cascade worker and two more.
    pub database: Database,
    /// How documents are composed.
    pub mapping: Arc<Mapping>,
    /// What composing remembers; shared with whoever else composes from this database.
    pub caches: Arc<Caches>,
    /// Where work waits.
    pub queue: Arc<dyn WorkQueue>,
    /// Where changes come from.
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

/// Something that a look at the database did not show yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Awaited {
    /// A transaction whose commit is not visible.
    Transaction(u64),
    /// A document whose rows are older than a visible change record says.
    Document(i64),
}

/// The last thing that went wrong.
#[derive(Debug, Clone)]
pub(crate) struct Mishap {
    pub(crate) at_ms: u64,
    pub(crate) text: String,
}

/// One projector's shared state.
pub(crate) struct Context {
    pub(crate) deps: Deps,
    pub(crate) counters: Counters,
    /// Told when a cascade has become visible.
    pub(crate) cascade_opened: Notify,
    /// How far changes are safe in the queue.
    pub(crate) durable: watch::Sender<Position>,
    /// Whether the stream can be relied on, or a comparison is owed.
    pub(crate) standing: ResyncState,
    holds: Mutex<VisibilityWaits<Awaited>>,
    source: Mutex<SourceStatus>,
    position_kind: Mutex<PositionKind>,
    /// In which progress is stored, while it is this process's turn.
    term: Mutex<Option<FencingEpoch>>,
    mishap: Mutex<Option<Mishap>>,
}

impl Context {
    pub(crate) fn new(deps: Deps) -> Self {
        let holds = VisibilityWaits::new(deps.options.visibility_backoff, deps.options.visibility_deadline);
        Self {
            deps,
            counters: Counters::default(),
            cascade_opened: Notify::new(),
            durable: watch::Sender::new(Position::ZERO),
            standing: ResyncState::default(),
            holds: Mutex::new(holds),
            source: Mutex::default(),
            position_kind: Mutex::default(),
            term: Mutex::default(),
            mishap: Mutex::default(),
        }
    }

    pub(crate) fn options(&self) -> &ProjectorOptions {
        &self.deps.options
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.deps.clock.now_ms()
    }

    pub(crate) fn holds(&self) -> MutexGuard<'_, VisibilityWaits<Awaited>> {
        // Nothing panics while it holds one of these locks half way through a change.
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn source_status(&self) -> SourceStatus {
        self.source.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the positions of the source that was opened last are.
    pub(crate) fn position_kind(&self) -> PositionKind {
        *self.position_kind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_position_kind(&self, kind: PositionKind) {
        *self.position_kind.lock().unwrap_or_else(PoisonError::into_inner) = kind;
    }

    pub(crate) fn term(&self) -> Option<FencingEpoch> {
        self.term.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_term(&self, term: Option<FencingEpoch>) {
        *self.term.lock().unwrap_or_else(PoisonError::into_inner) = term;
    }

    pub(crate) fn set_source_status(&self, status: SourceStatus) {
        self.counters.connected.set(u64::from(status.connected));
        metrics::counter!(names::INTAKE_RECONNECTS).absolute(status.reconnects);
        self.counters.lag.set(status.server_position.lsn.saturating_sub(status.confirmed.lsn));
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    pub(crate) fn mishap(&self) -> Option<Mishap> {
        self.mishap.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers an error for `status`; answers with its whole chain for the log.
    pub(crate) fn record(&self, error: &(dyn std::error::Error + 'static)) -> String {
        let text = chain(error);
        let mishap = Mishap { at_ms: self.now_ms(), text: text.clone() };
        *self.mishap.lock().unwrap_or_else(PoisonError::into_inner) = Some(mishap);
        text
    }

    /// Remembers and logs a failure that is going to be tried again.
    pub(crate) fn will_retry(&self, error: &ProjectorError, delay: std::time::Duration) {
        let error = self.record(error);
        tracing::warn!(error, delay_ms = delay.as_millis() as u64, "trying again");
    }
}
