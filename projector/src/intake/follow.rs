//! Following the source: opening it at the right position, and reopening it whenever it stops.

use super::lease::LeaderLease;
use super::progress;
use super::pump::{PumpError, pump};
use super::source::{Opened, Start};
use crate::context::Context;
use crate::error::{During, ProjectorError};
use millstream_outbox::progress::{Origin, Progress, load};
use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use tokio_util::sync::CancellationToken;

const ACTION: &str = "deciding where to start";

/// The cause of starting from scratch when the stream cannot be continued.
const CHANGES_REMOVED: &str = "the source has removed changes";

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
    // Whether changes were lost, which some sources notice only while reading.
    let mut lost = false;
    while !stop.is_cancelled() {
        let received = context.counters.changes.get();
        let ended = match session(context, lost, stop).await {
            Ok(()) => break,
            Err(SessionError::Fatal(error)) => return Err(error),
            Err(ended) => ended,
        };
        lost = matches!(&ended, SessionError::Source(error) if error.needs_recovery());
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

async fn session(context: &Context, lost: bool, stop: &CancellationToken) -> Result<(), SessionError> {
    let lease = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        lease = LeaderLease::acquire(context) => lease.map_err(SessionError::Database)?,
    };
    let opened = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = open(context, lost) => opened?,
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

/// The stored positions before the source is opened.
#[derive(Debug)]
struct StoredPositions {
    /// This server, this database, this queue.
    origin: Origin,
    /// The queue's position.
    position: Option<Position>,
    /// The progress stored in the database.
    progress: Option<Progress>,
}

/// The decision where to start.
#[derive(Debug, PartialEq, Eq)]
enum StartDecision {
    After(Position),
    Fresh {
        cause: &'static str,
    },
    /// The queue holds work of another database or another history: its transaction ids mean nothing here.
    Foreign,
}

impl StoredPositions {
    async fn read(context: &Context) -> Result<Self, ProjectorError> {
        let queue = &context.deps.queue;
        let position = queue.position().await.during(ACTION)?;
        let client = context.deps.database.get().await.during(ACTION)?;
        let stream = context.deps.source.stream();
        let origin = Origin::read(&**client, queue.epoch(), stream).await.during(ACTION)?;
        let progress = load(&**client, &context.options().consumer).await.during(ACTION)?;
        Ok(Self { origin, position, progress })
    }

    /// Whether the stored position belongs to the stream to be followed.
    fn continues(&self, progress: &Progress) -> bool {
        let stored = progress.origin.stream.as_ref();
        self.origin.stream.as_ref().is_some_and(|stream| stream.continues(stored))
    }

    fn decide(&self) -> StartDecision {
        let Some(progress) = &self.progress else {
            return match self.position {
                None => StartDecision::Fresh { cause: "first start" },
                Some(_) => StartDecision::Foreign,
            };
        };
        let here = (&self.origin.source, self.origin.database);
        if (&progress.origin.source, progress.origin.database) != here {
            return match self.position {
                None => {
                    StartDecision::Fresh { cause: "the database was restored or failed over, and the queue is new" }
                }
                Some(_) => StartDecision::Foreign,
            };
        }
        match self.position {
            None => StartDecision::Fresh { cause: "the queue is new" },
            Some(_) if progress.origin.epoch.is_nil() => {
                StartDecision::Fresh { cause: "the last comparison did not finish" }
            }
            Some(_) if progress.origin.epoch != self.origin.epoch => {
                StartDecision::Fresh { cause: "the queue is another one" }
            }
            Some(_) if !self.continues(progress) => {
                StartDecision::Fresh { cause: "changes come from another source now" }
            }
            Some(position) => StartDecision::After(position),
        }
    }
}

async fn open(context: &Context, lost: bool) -> Result<Opened, SessionError> {
    let stored = StoredPositions::read(context).await.map_err(|error| match error {
        error if error.is_fatal_queue() => SessionError::Fatal(error),
        error => SessionError::Database(error),
    })?;
    let decision = match stored.decide() {
        StartDecision::After(_) if lost => StartDecision::Fresh { cause: CHANGES_REMOVED },
        decision => decision,
    };
    let stream = context.deps.source.stream();
    tracing::info!(?decision, position = ?stored.position, %stream, "opening the source of changes");
    let opened = match decision {
        StartDecision::Foreign => return Err(SessionError::Fatal(ProjectorError::ForeignQueue)),
        StartDecision::Fresh { cause } => open_fresh(context, &stored, cause).await?,
        StartDecision::After(position) => {
            let start = Start::After { position, identity: stored.origin.source.clone() };
            match context.deps.source.open(start).await {
                Ok(opened) => opened,
                Err(error) if error.needs_recovery() => {
                    tracing::warn!(
                        error = context.record(&error),
                        "changes were lost; comparing all documents instead"
                    );
                    open_fresh(context, &stored, CHANGES_REMOVED).await?
                }
                Err(SourceError::Foreign { .. }) => return Err(SessionError::Fatal(ProjectorError::ForeignQueue)),
                Err(error) => return Err(SessionError::Source(error)),
            }
        }
    };
    // The queue is complete up to it. An idle source would not report it.
    context.durable.send_replace(opened.position);
    progress::source_opened(context, stored.origin, opened.kind).await;
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
    use millstream_pipeline::source::{SourceIdentity, Stream};
    use uuid::Uuid;

    fn origin(timeline: i32, epoch: u128) -> Origin {
        let source = SourceIdentity { system_identifier: "7".to_owned(), timeline };
        let stream = Some(Stream::slot("s"));
        Origin { source, database: Uuid::from_u128(1), epoch: Uuid::from_u128(epoch), stream }
    }

    fn begin(position: Option<u64>, stored: Option<Origin>) -> StartDecision {
        let progress = stored.map(|origin| Progress { position: Position::ZERO, watermark: None, origin });
        StoredPositions { origin: origin(1, 5), position: position.map(Position::before), progress }.decide()
    }

    #[test]
    fn only_the_complete_queue_resumes_where_it_stopped() {
        assert_eq!(begin(Some(80), Some(origin(1, 5))), StartDecision::After(Position::before(80)));
        for (position, stored) in [
            (None, None),
            (None, Some(origin(1, 5))),
            (None, Some(origin(2, 5))),
            (Some(80), Some(origin(1, 6))),
            (Some(80), Some(origin(1, 0))),
        ] {
            assert!(matches!(begin(position, stored.clone()), StartDecision::Fresh { .. }), "{position:?} {stored:?}");
        }
    }

    #[test]
    fn a_position_in_another_stream_is_not_resumed_from() {
        let stored_of = |stream| begin(Some(80), Some(Origin { stream, ..origin(1, 5) }));
        assert_eq!(
            stored_of(None),
            StartDecision::After(Position::before(80)),
            "an older version, which knew only slots"
        );
        for stream in [Stream::slot("other"), Stream::poll(), Stream::topic("s")] {
            assert!(matches!(stored_of(Some(stream.clone())), StartDecision::Fresh { .. }), "{stream}");
        }
    }

    #[test]
    fn a_queue_of_another_history_is_refused() {
        assert_eq!(begin(Some(80), None), StartDecision::Foreign);
        assert_eq!(begin(Some(80), Some(origin(2, 5))), StartDecision::Foreign);
    }
}
