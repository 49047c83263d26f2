//! Opening the source at the right place, and again whenever it stops.

use super::lease::LeaderLease;
use super::pump::{Pumped, pump};
use super::source::{Opened, Start};
use crate::context::Context;
use crate::error::ProjectorError;
use millstream_outbox::progress::{self, Origin, Progress};
use millstream_pipeline::Position;
use millstream_pipeline::source::SourceError;
use tokio_util::sync::CancellationToken;

const ACTION: &str = "deciding where to begin";

/// Why a stream begins anew that cannot be gone on with.
const FORGOTTEN: &str = "the source has forgotten changes";

/// Why a session with the source ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// The source stopped, or would not open.
    #[error("the source of changes failed")]
    Source(#[source] SourceError),
    /// The database could not be asked.
    #[error(transparent)]
    Database(ProjectorError),
    /// Going on would do harm or is impossible.
    #[error(transparent)]
    Fatal(ProjectorError),
}

/// Follows the source until told to stop. Whatever passes is tried again, while the rebuild goes on with what it has.
///
/// # Errors
/// When the queue fails, or belongs to another database.
pub(crate) async fn follow(context: &Context, stop: &CancellationToken) -> Result<(), ProjectorError> {
    let mut failures = 0;
    // Whether changes were lost on the way, which some sources find out only when they read.
    let mut lost = false;
    while !stop.is_cancelled() {
        let received = context.counters.changes.get();
        let ended = match session(context, lost, stop).await {
            Ok(()) => break,
            Err(Ended::Fatal(error)) => return Err(error),
            Err(ended) => ended,
        };
        lost = matches!(&ended, Ended::Source(error) if error.needs_recovery());
        // A session that brought something was a good one.
        failures = if context.counters.changes.get() > received { 1 } else { failures + 1 };
        context.counters.source_failures.add(1);
        context.counters.connected.set(0);
        let delay = context.options().source_backoff.delay(failures);
        let error = context.record(&ended);
        tracing::warn!(error, delay_ms = delay.as_millis() as u64, "opening the source again");
        tokio::select! {
            () = stop.cancelled() => break,
            () = context.deps.clock.sleep(delay) => {}
        }
    }
    Ok(())
}

async fn session(context: &Context, lost: bool, stop: &CancellationToken) -> Result<(), Ended> {
    let turn = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        turn = LeaderLease::take(context) => turn.map_err(Ended::Database)?,
    };
    let opened = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = open(context, lost) => opened?,
    };
    let mut source = opened.source;
    context.set_position_kind(opened.kind);
    context.set_source_status(source.status());
    let pumped = pump(context, &mut *source, &turn, stop).await;
    let stopped = source.shutdown().await;
    // The next one may begin: nothing is stored in this term any more.
    context.standing.forget(context).await;
    drop(turn);
    match pumped {
        Ok(()) => {
            if let Err(error) = stopped {
                // What was not confirmed comes again after the next start.
                tracing::info!(error = context.record(&error), "the source stopped without its last confirmation");
            }
            Ok(())
        }
        Err(Pumped::Source(error)) => Err(Ended::Source(error)),
        Err(Pumped::Queue(error)) => Err(Ended::Fatal(error)),
        // Another process may have taken over: stand by for it, from the beginning.
        Err(Pumped::LeaderLease(error)) => Err(Ended::Database(error)),
    }
}

/// What is known before the source is opened.
#[derive(Debug)]
struct Known {
    /// This server, this database, this queue.
    origin: Origin,
    /// How far the queue says it has come.
    position: Option<Position>,
    /// What the database says about it.
    progress: Option<Progress>,
}

/// How to begin.
#[derive(Debug, PartialEq, Eq)]
enum Begin {
    After(Position),
    Anew {
        cause: &'static str,
    },
    /// The queue holds work of another database or another history: its transaction ids mean nothing here.
    Foreign,
}

impl Known {
    async fn read(context: &Context) -> Result<Self, ProjectorError> {
        let queue = &context.deps.queue;
        let position = queue.position().await.map_err(ProjectorError::queue(ACTION))?;
        let client = context.deps.database.get().await.map_err(ProjectorError::database(ACTION))?;
        let stream = context.deps.source.stream();
        let origin = Origin::read(&**client, queue.epoch(), stream).await.map_err(ProjectorError::outbox(ACTION))?;
        let progress = progress::load(&**client, &context.options().consumer).await;
        Ok(Self { origin, position, progress: progress.map_err(ProjectorError::outbox(ACTION))? })
    }

    /// Whether what is stored is a position in the stream that is to be followed.
    fn continues(&self, progress: &Progress) -> bool {
        let stored = progress.origin.stream.as_ref();
        self.origin.stream.as_ref().is_some_and(|stream| stream.continues(stored))
    }

    fn begin(&self) -> Begin {
        let Some(progress) = &self.progress else {
            return match self.position {
                None => Begin::Anew { cause: "first start" },
                Some(_) => Begin::Foreign,
            };
        };
        let here = (&self.origin.source, self.origin.database);
        if (&progress.origin.source, progress.origin.database) != here {
            return match self.position {
                None => Begin::Anew { cause: "the database was restored or failed over, and the queue is new" },
                Some(_) => Begin::Foreign,
            };
        }
        match self.position {
            None => Begin::Anew { cause: "the queue is new" },
            Some(_) if progress.origin.epoch.is_nil() => Begin::Anew { cause: "the last comparison did not finish" },
            Some(_) if progress.origin.epoch != self.origin.epoch => Begin::Anew { cause: "the queue is another one" },
            Some(_) if !self.continues(progress) => Begin::Anew { cause: "changes come from another source now" },
            Some(position) => Begin::After(position),
        }
    }
}

async fn open(context: &Context, lost: bool) -> Result<Opened, Ended> {
    let known = Known::read(context).await.map_err(|error| match error {
        error if error.is_fatal_queue() => Ended::Fatal(error),
        error => Ended::Database(error),
    })?;
    let begin = match known.begin() {
        Begin::After(_) if lost => Begin::Anew { cause: FORGOTTEN },
        begin => begin,
    };
    let stream = context.deps.source.stream();
    tracing::info!(?begin, position = ?known.position, %stream, "opening the source of changes");
    let opened = match begin {
        Begin::Foreign => return Err(Ended::Fatal(ProjectorError::ForeignQueue)),
        Begin::Anew { cause } => open_anew(context, &known, cause).await?,
        Begin::After(position) => {
            let start = Start::After { position, identity: known.origin.source.clone() };
            match context.deps.source.open(start).await {
                Ok(opened) => opened,
                Err(error) if error.needs_recovery() => {
                    tracing::warn!(error = context.record(&error), "changes were lost on the way: comparing instead");
                    open_anew(context, &known, FORGOTTEN).await?
                }
                Err(SourceError::Foreign { .. }) => return Err(Ended::Fatal(ProjectorError::ForeignQueue)),
                Err(error) => return Err(Ended::Source(error)),
            }
        }
    };
    // The queue has everything before it. A source that is at rest would not say so.
    context.durable.send_replace(opened.position);
    context.standing.opened(context, known.origin, opened.kind).await;
    Ok(opened)
}

/// First notes durably that a comparison is owed, then makes the bookmark, then puts the queue's position on it.
async fn open_anew(context: &Context, known: &Known, cause: &'static str) -> Result<Opened, Ended> {
    let position = known.position.unwrap_or(Position::ZERO);
    context.standing.owe(context, &known.origin, position, cause).await.map_err(Ended::Database)?;
    let opened = context.deps.source.open(Start::Anew).await.map_err(Ended::Source)?;
    let reset = context.deps.queue.reset_position(opened.position).await;
    reset.map_err(ProjectorError::queue(ACTION)).map_err(Ended::Fatal)?;
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

    fn begin(position: Option<u64>, stored: Option<Origin>) -> Begin {
        let progress = stored.map(|origin| Progress { position: Position::ZERO, watermark: None, origin });
        Known { origin: origin(1, 5), position: position.map(Position::before), progress }.begin()
    }

    #[test]
    fn only_the_queue_that_has_everything_goes_on_where_it_stopped() {
        assert_eq!(begin(Some(80), Some(origin(1, 5))), Begin::After(Position::before(80)));
        for (position, stored) in [
            (None, None),
            (None, Some(origin(1, 5))),
            (None, Some(origin(2, 5))),
            (Some(80), Some(origin(1, 6))),
            (Some(80), Some(origin(1, 0))),
        ] {
            assert!(matches!(begin(position, stored.clone()), Begin::Anew { .. }), "{position:?} {stored:?}");
        }
    }

    #[test]
    fn a_position_in_another_stream_is_not_gone_on_from() {
        let stored_of = |stream| begin(Some(80), Some(Origin { stream, ..origin(1, 5) }));
        assert_eq!(stored_of(None), Begin::After(Position::before(80)), "an older version, which knew only slots");
        for stream in [Stream::slot("other"), Stream::poll(), Stream::topic("s")] {
            assert!(matches!(stored_of(Some(stream.clone())), Begin::Anew { .. }), "{stream}");
        }
    }

    #[test]
    fn a_queue_of_another_history_is_refused() {
        assert_eq!(begin(Some(80), None), Begin::Foreign);
        assert_eq!(begin(Some(80), Some(origin(2, 5))), Begin::Foreign);
    }
}
