//! Where the queue stands towards the database: followed without a gap, or owed a comparison first.
//!
//! `dms.ProjectionProgress` carries the epoch of the queue that has everything. While a comparison is owed it carries the
//! nil epoch instead, written before the source begins anew, so that a crash in between cannot make a gap look like
//! none. Position and watermark are written only while nothing is owed. One lock serialises all of that.

use crate::context::Context;
use crate::error::ProjectorError;
use crate::intake::source::PositionKind;
use crate::resync;
use millstream_outbox::progress::{self, Origin, Progress, ProgressKeeper};
use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ACTION: &str = "storing the projector's progress";

/// A watermark is read before it is stored: only the second one stored after a change was read after it.
const STORES_AFTER_A_CHANGE: u32 = 2;

/// Where the queue stands.
#[derive(Debug, Default)]
pub(crate) struct ResyncState {
    state: Mutex<State>,
    changed: Notify,
    /// It was said that no watermark can be stored.
    told_unmarked: AtomicBool,
}

#[derive(Debug, Default)]
enum State {
    /// The source has not been opened yet.
    #[default]
    Unknown,
    /// All documents have to be compared with the cache before the stream can be relied on.
    /// `kind` is known once the source is open; until then the comparison must not begin: what is committed between the
    /// two would be in neither.
    Owed { cause: &'static str, origin: Origin, kind: Option<PositionKind>, serial: u64 },
    /// Everything that the stream did not bring is in the queue.
    Followed { keeper: ProgressKeeper, kind: PositionKind },
}

impl ResyncState {
    /// The stream begins anew: durably notes that a comparison is owed. To be called before the source is opened anew.
    pub(crate) async fn owe(
        &self,
        context: &Context,
        origin: &Origin,
        position: Position,
        cause: &'static str,
    ) -> Result<(), ProjectorError> {
        let mut state = self.state.lock().await;
        let serial = match &*state {
            State::Owed { serial, .. } => serial + 1,
            _ => 0,
        };
        let unsynced = Origin { epoch: Uuid::nil(), ..origin.clone() };
        store(context, &Progress { position, watermark: None, origin: unsynced }).await?;
        *state = State::Owed { cause, origin: origin.clone(), kind: None, serial };
        Ok(())
    }

    /// The source is open. What is owed may begin; what is followed may be recorded.
    pub(crate) async fn opened(&self, context: &Context, origin: Origin, kind: PositionKind) {
        let mut state = self.state.lock().await;
        match &mut *state {
            State::Owed { kind: known, .. } => *known = Some(kind),
            _ => {
                let keeper = keeper(context, origin);
                *state = State::Followed { keeper, kind };
            }
        }
        drop(state);
        self.changed.notify_one();
    }
}

impl ResyncState {
    /// The source was closed: until it is open again nothing is recorded. What is owed stays owed.
    pub(crate) async fn forget(&self, context: &Context) {
        let mut state = self.state.lock().await;
        match &mut *state {
            State::Owed { kind, .. } => *kind = None,
            _ => *state = State::Unknown,
        }
        context.set_term(None);
    }
}

async fn store(context: &Context, progress: &Progress) -> Result<(), ProjectorError> {
    let client = context.deps.database.get().await.map_err(ProjectorError::database(ACTION))?;
    let stored = match context.term() {
        Some(term) => progress::store_in_term(&**client, &term, progress).await,
        None => progress::store(&**client, &context.options().consumer, progress).await,
    };
    stored.map_err(ProjectorError::outbox(ACTION))
}

/// A keeper of the progress of this process.
fn keeper(context: &Context, origin: Origin) -> ProgressKeeper {
    match context.term() {
        Some(term) => ProgressKeeper::in_term(term, origin),
        None => ProgressKeeper::new(context.options().consumer.clone(), origin),
    }
}

/// Compares when a comparison is owed, records progress when none is, until told to stop.
///
/// # Errors
/// When the queue fails; a database that is away is waited for.
pub(crate) async fn keep(context: &Context, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let mut rhythm = Rhythm::default();
    let mut failures = 0;
    while !stop.is_cancelled() {
        let step = tokio::select! {
            () = stop.cancelled() => break,
            step = step(context, &mut rhythm) => step,
        };
        let pause = match step {
            Ok(()) => {
                failures = 0;
                context.options().watermark_interval
            }
            Err(error) if error.is_fatal_queue() => return Err(error),
            Err(error) => {
                failures += 1;
                let delay = context.options().outage_backoff.delay(failures);
                context.will_retry(&error, delay);
                delay
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = context.standing.changed.notified() => {}
            () = context.deps.clock.sleep(pause) => {}
        }
    }
    context.counters.resyncing.set(0);
    Ok(())
}

async fn step(context: &Context, rhythm: &mut Rhythm) -> Result<(), ProjectorError> {
    let owed = match &*context.standing.state.lock().await {
        State::Owed { kind: None, .. } => return Ok(()),
        State::Owed { cause, serial, kind: Some(kind), .. } => Some((*cause, *serial, *kind)),
        _ => None,
    };
    match owed {
        Some((cause, serial, kind)) => compare(context, cause, serial, kind).await,
        None => advance(context, rhythm).await,
    }
}

/// Compares everything, then records that nothing is owed: unless the stream began anew once more meanwhile.
async fn compare(
    context: &Context,
    cause: &'static str,
    compared: u64,
    kind: PositionKind,
) -> Result<(), ProjectorError> {
    tracing::info!(cause, "comparing all documents with the cache");
    context.counters.resyncing.set(1);
    let walked = resync::walk(context).await;
    context.counters.resyncing.set(0);
    walked?;

    let mut state = context.standing.state.lock().await;
    let State::Owed { origin, serial, .. } = &*state else { return Ok(()) };
    if *serial != compared {
        context.standing.changed.notify_one();
        return Ok(());
    }
    let position = *context.durable.borrow();
    store(context, &Progress { position, watermark: None, origin: origin.clone() }).await?;
    let keeper = keeper(context, origin.clone());
    *state = State::Followed { keeper, kind };
    let (compared, enqueued) = (context.counters.compared.get(), context.counters.enqueued.get());
    tracing::info!(compared, enqueued, "all documents are compared with the cache");
    Ok(())
}

/// When it is worth moving the watermark: while changes arrive, shortly after, and otherwise rarely, since storing it
/// writes WAL on a database that is otherwise at rest.
#[derive(Debug)]
struct Rhythm {
    changes: u64,
    stores_owed: u32,
    stored_ms: u64,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { changes: 0, stores_owed: STORES_AFTER_A_CHANGE, stored_ms: 0 }
    }
}

impl Rhythm {
    fn is_due(&mut self, changes: u64, now_ms: u64, idle_ms: u64) -> bool {
        if changes != self.changes {
            (self.changes, self.stores_owed) = (changes, STORES_AFTER_A_CHANGE);
        }
        self.stores_owed > 0 || now_ms.saturating_sub(self.stored_ms) >= idle_ms
    }

    fn stored(&mut self, now_ms: u64) {
        (self.stores_owed, self.stored_ms) = (self.stores_owed.saturating_sub(1), now_ms);
    }
}

async fn advance(context: &Context, rhythm: &mut Rhythm) -> Result<(), ProjectorError> {
    let idle_ms = context.options().watermark_idle_interval.as_millis() as u64;
    let mut state = context.standing.state.lock().await;
    let State::Followed { keeper, kind } = &mut *state else { return Ok(()) };
    if !rhythm.is_due(context.counters.changes.get(), context.now_ms(), idle_ms) {
        return Ok(());
    }
    let placed = match kind {
        PositionKind::Wal | PositionKind::Offsets => place(context, keeper).await?,
        // Its position says itself what it covers.
        PositionKind::Transactions => true,
    };
    let durable = *context.durable.borrow();
    let client = context.deps.database.get().await.map_err(ProjectorError::database(ACTION))?;
    let stored = match kind {
        _ if !placed => keeper.advance_unmarked(&**client, durable).await.map(|()| true),
        PositionKind::Wal | PositionKind::Offsets => {
            keeper.advance(&**client, durable).await.map(|stored| stored.is_some())
        }
        PositionKind::Transactions => keeper.advance_polled(&**client, durable).await.map(|_| true),
    };
    if stored.map_err(ProjectorError::outbox(ACTION))? {
        rhythm.stored(context.now_ms());
        context.counters.watermarks.add(1);
    }
    Ok(())
}

/// Finds the place in the stream of the watermark that waits for it. False where nobody can tell: then no watermark can be
/// stored, and the outbox keeps everything.
async fn place(context: &Context, keeper: &mut ProgressKeeper) -> Result<bool, ProjectorError> {
    let Some(lsn) = keeper.unplaced() else { return Ok(true) };
    match context.deps.source.covering(lsn).await {
        Ok(Some(position)) => keeper.place(position),
        Ok(None) => {}
        Err(error @ SourceError::Lost { .. }) => {
            if !context.standing.told_unmarked.swap(true, Ordering::Relaxed) {
                let error = context.record(&error);
                tracing::warn!(error, "change records are kept for good: nobody can tell which of them have arrived");
            }
            return Ok(false);
        }
        Err(error) => return Err(ProjectorError::source(ACTION)(error)),
    }
    context.standing.told_unmarked.store(false, Ordering::Relaxed);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_database_is_written_to_rarely() {
        let mut rhythm = Rhythm::default();
        let stored = |rhythm: &mut Rhythm, changes, now_ms| {
            let due = rhythm.is_due(changes, now_ms, 300_000);
            if due {
                rhythm.stored(now_ms);
            }
            due
        };
        let at_rest: Vec<bool> = (0..5).map(|n| stored(&mut rhythm, 0, n * 5_000)).collect();
        assert_eq!(at_rest, [true, true, false, false, false]);
        let after_a_change: Vec<bool> = (5..8).map(|n| stored(&mut rhythm, 1, n * 5_000)).collect();
        assert_eq!(after_a_change, [true, true, false]);
        assert!(stored(&mut rhythm, 1, 330_000), "now and then all the same");
        assert!(rhythm.is_due(2, 330_001, 300_000) && rhythm.is_due(2, 360_000, 300_000), "until it is stored");
    }
}
