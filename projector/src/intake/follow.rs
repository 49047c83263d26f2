//! Following the source: opening it at the right position, and reopening it whenever it stops.

use super::lease::LeaderLease;
use super::progress;
use super::pump::{PumpError, pump};
use super::source::{Opened, Start};
use super::start::{LOST_COMMITS, StartDecision, StoredPositions};
use crate::context::Context;
use crate::error::{During, ProjectorError};
use millstream_outbox::progress::Origin;
use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use tokio_util::sync::CancellationToken;

const ACTION: &str = "deciding where to start";

/// The cause of starting from scratch when the stream cannot be continued.
const CHANGES_REMOVED: &str = "the source has removed changes";

/// Changes that the source has lost. Some sources notice it only while reading. It stays set until the source was opened
/// from scratch: another failure in between does not bring the changes back.
#[derive(Debug, Default)]
struct Gap {
    /// The source has removed changes.
    lost: bool,
    /// The database is not as far as it was.
    behind: bool,
}

impl Gap {
    fn record(&mut self, error: &SourceError) {
        self.lost |= error.needs_recovery();
        self.behind |= matches!(error, SourceError::Behind { .. });
    }
}

/// The failure that ended a session with the source.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    /// The source stopped or could not be opened.
    #[error("the source of changes failed")]
    Source(#[source] SourceError),
    /// The database failed.
    #[error(transparent)]
    Database(ProjectorError),
    /// Continuing is impossible or would cause damage.
    #[error(transparent)]
    Fatal(ProjectorError),
}

/// Follows the source until `stop`. Transient failures are retried; rebuilds continue meanwhile.
///
/// # Errors
/// When the queue fails, or belongs to another database.
pub(crate) async fn follow(context: &Context, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let mut failures = 0;
    let mut gap = Gap::default();
    while !stop.is_cancelled() {
        let received = context.counters.changes.get();
        let ended = match session(context, &mut gap, stop).await {
            Ok(()) => break,
            Err(SessionError::Fatal(error)) => return Err(error),
            Err(ended) => ended,
        };
        if let SessionError::Source(error) = &ended {
            gap.record(error);
        }
        // A session that received changes resets the delay.
        failures = if context.counters.changes.get() > received { 1 } else { failures + 1 };
        context.counters.source_failures.add(1);
        context.counters.connected.set(0);
        let delay = context.options().source_backoff.delay(failures);
        let error = context.record(&ended);
        tracing::warn!(error, delay_ms = delay.as_millis() as u64, "source failed; reopening it after the delay");
        tokio::select! {
            () = stop.cancelled() => break,
            () = context.deps.clock.sleep(delay) => {}
        }
    }
    Ok(())
}

async fn session(context: &Context, gap: &mut Gap, stop: &CancellationToken) -> Result<(), SessionError> {
    let lease = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        lease = LeaderLease::acquire(context) => lease.map_err(SessionError::Database)?,
    };
    let opened = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = open(context, &lease, gap) => opened?,
    };
    let mut source = opened.source;
    context.set_position_kind(opened.kind);
    context.set_source_status(source.status());
    let pumped = pump(context, &mut *source, &lease, stop).await;
    let stopped = source.shutdown().await;
    // The next process may start: nothing more is stored in this epoch.
    progress::source_closed(context).await;
    drop(lease);
    match pumped {
        Ok(()) => {
            if let Err(error) = stopped {
                // Unconfirmed changes are received again after the next start.
                tracing::info!(error = context.record(&error), "source stopped without its last confirmation");
            }
            Ok(())
        }
        Err(PumpError::Source(error)) => Err(SessionError::Source(error)),
        Err(PumpError::Queue(error)) => Err(SessionError::Fatal(error)),
        // Another process may have taken over: acquire the lease again, as a standby.
        Err(PumpError::Lease(error)) => Err(SessionError::Database(error)),
    }
}

async fn open(context: &Context, lease: &LeaderLease, gap: &mut Gap) -> Result<Opened, SessionError> {
    let mut stored = StoredPositions::read(context, lease.session()).await.map_err(session_error)?;
    let mut decision = stored.decide();
    let stream = context.deps.source.stream();
    tracing::info!(?decision, position = ?stored.position, %stream, ?gap, "opening the source of changes");
    if gap.behind && decision.is_after() {
        decision = StartDecision::NewHistory { cause: LOST_COMMITS };
    }
    if gap.lost && decision.is_after() {
        decision = StartDecision::Fresh { cause: CHANGES_REMOVED };
    }
    loop {
        match decision {
            StartDecision::Foreign { expected } => {
                let found = stored.origin.to_string();
                return Err(SessionError::Fatal(ProjectorError::ForeignQueue { expected, found }));
            }
            StartDecision::NewHistory { cause } => {
                stored.begin_history(context, lease.session(), cause).await.map_err(session_error)?;
                gap.behind = false;
                decision = StartDecision::Fresh { cause };
            }
            StartDecision::Fresh { cause } => {
                let opened = open_fresh(context, &stored, cause).await?;
                *gap = Gap::default();
                return finish(context, stored.origin, opened).await;
            }
            StartDecision::After(position) => {
                let start = Start::After { position, identity: stored.origin.source.clone() };
                let error = match context.deps.source.open(start).await {
                    Ok(opened) => return finish(context, stored.origin, opened).await,
                    Err(error) => error,
                };
                gap.record(&error);
                let cause = if gap.behind {
                    LOST_COMMITS
                } else if gap.lost {
                    CHANGES_REMOVED
                } else {
                    return Err(SessionError::Source(error));
                };
                tracing::warn!(error = context.record(&error), "changes were lost; comparing all documents instead");
                decision = match gap.behind {
                    true => StartDecision::NewHistory { cause },
                    false => StartDecision::Fresh { cause },
                };
            }
        }
    }
}

fn session_error(error: ProjectorError) -> SessionError {
    if error.is_fatal_queue() { SessionError::Fatal(error) } else { SessionError::Database(error) }
}

async fn finish(context: &Context, origin: Origin, opened: Opened) -> Result<Opened, SessionError> {
    // The queue is complete up to it. An idle source would not report it.
    context.durable.send_replace(opened.position);
    context.set_history(origin.history);
    progress::source_opened(context, origin, opened.kind).await.map_err(SessionError::Database)?;
    Ok(opened)
}

/// Stores durably that a comparison is pending, then creates the bookmark, then sets the queue's position to it.
async fn open_fresh(context: &Context, stored: &StoredPositions, cause: &'static str) -> Result<Opened, SessionError> {
    let position = stored.position.unwrap_or(Position::ZERO);
    progress::set_pending(context, &stored.origin, position, cause).await.map_err(SessionError::Database)?;
    let opened = context.deps.source.open(Start::Fresh).await.map_err(SessionError::Source)?;
    let reset = context.deps.queue.reset_position(opened.position).await;
    reset.during(ACTION).map_err(SessionError::Fatal)?;
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_remembered_through_other_failures() {
        let refused = || SourceError::Refused { what: "connecting".to_owned(), detail: "made for a test".to_owned() };
        let mut gap = Gap::default();
        gap.record(&refused());
        assert!(!gap.lost && !gap.behind);
        gap.record(&SourceError::Lost { what: "slot".to_owned(), detail: "made for a test".to_owned() });
        gap.record(&refused());
        assert!(gap.lost && !gap.behind, "the changes are still lost");
        gap.record(&SourceError::Behind { stored: Position::before(80), server: Position::before(30) });
        gap.record(&SourceError::Stopped);
        assert!(gap.lost && gap.behind);
    }
}
