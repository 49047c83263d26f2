//! The decision where to start: after the queue's position, from scratch, in a new history of the database, or not at all.

use crate::context::Context;
use crate::error::{During, ProjectorError};
use millstream_outbox::progress::{Origin, Progress, load};
use millstream_pipeline::Position;
use millstream_store::connect::Session;
use millstream_store::table::history;

const ACTION: &str = "deciding where to start";

/// The cause of a new history when the database is not as far as it was.
pub(super) const LOST_COMMITS: &str = "the database was put back to an earlier state, or has lost commits";

/// The stored positions before the source is opened.
#[derive(Debug)]
pub(super) struct StoredPositions {
    /// This server, this database, this queue.
    pub(super) origin: Origin,
    /// The queue's position.
    pub(super) position: Option<Position>,
    /// The progress stored in the database.
    progress: Option<Progress>,
    /// The stream has named a version that the database has not drawn.
    behind: bool,
}

/// The decision where to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StartDecision {
    After(Position),
    Fresh {
        cause: &'static str,
    },
    /// The database is the same, but its log positions, transaction ids and versions may not mean what they meant: begin a
    /// new history, then start from scratch.
    NewHistory {
        cause: &'static str,
    },
    /// The queue holds work of another database.
    Foreign {
        expected: String,
    },
}

impl StartDecision {
    pub(super) fn is_after(&self) -> bool {
        matches!(self, Self::After(_))
    }
}

impl StoredPositions {
    /// Reads them in the session of the lease, which was opened after the last failure: an older one may still lead to a
    /// server that is the primary no more.
    pub(super) async fn read(context: &Context, client: &Session) -> Result<Self, ProjectorError> {
        let queue = &context.deps.queue;
        let position = queue.position().await.during(ACTION)?;
        let client = &**client;
        let stream = context.deps.source.stream();
        let state = history::read(client).await.during(ACTION)?.ok_or(ProjectorError::NotProvisioned)?;
        // Draws that a commit of the stream followed survive a crash with it.
        let behind = state.version < context.seen().0;
        let origin = Origin::of(state, queue.epoch(), stream);
        let progress = load(client, &context.options().consumer).await.during(ACTION)?;
        Ok(Self { origin, position, progress, behind })
    }

    /// Begins a new history, unless another process has done so since, and reads the origin again.
    pub(super) async fn begin_history(
        &mut self,
        context: &Context,
        client: &Session,
        cause: &'static str,
    ) -> Result<(), ProjectorError> {
        let client = &**client;
        let known = self.origin.history;
        let above = self.progress.as_ref().map_or(0, |progress| progress.origin.history).max(context.history());
        let (version, document_id) = context.seen();
        let begun = history::begin(client, known, above, version, document_id).await.during(ACTION)?;
        let stream = context.deps.source.stream();
        self.origin = Origin::read(client, self.origin.epoch, stream).await.during(ACTION)?;
        tracing::warn!(
            cause,
            begun,
            history = self.origin.history,
            server = %self.origin.source,
            "new history of the database: all documents are compared with the cache, and every sink with the tables"
        );
        Ok(())
    }

    /// Whether the stored position belongs to the stream to be followed.
    fn continues(&self, progress: &Progress) -> bool {
        let stored = progress.origin.stream.as_ref();
        self.origin.stream.as_ref().is_some_and(|stream| stream.continues(stored))
    }

    pub(super) fn decide(&self) -> StartDecision {
        let Some(progress) = &self.progress else {
            return match self.position {
                None => StartDecision::Fresh { cause: "first start" },
                // The queue is bound to this database, so the row is gone.
                Some(_) => StartDecision::NewHistory {
                    cause: "the database has no record of this queue: it was put back to before the first start",
                },
            };
        };
        let (stored, here) = (&progress.origin, &self.origin);
        let is_same =
            (&stored.source.system_identifier, stored.database) == (&here.source.system_identifier, here.database);
        if !is_same {
            return match self.position {
                None => {
                    StartDecision::NewHistory { cause: "the database is a copy of another one, and the queue is new" }
                }
                Some(_) => StartDecision::Foreign { expected: stored.to_string() },
            };
        }
        if stored.history != here.history {
            return StartDecision::Fresh { cause: "a new history of the database has begun" };
        }
        if self.behind {
            return StartDecision::NewHistory { cause: LOST_COMMITS };
        }
        if stored.source.timeline != here.source.timeline {
            return StartDecision::NewHistory { cause: "another server was promoted, or the database was restored" };
        }
        match self.position {
            None => StartDecision::Fresh { cause: "the queue is new" },
            Some(_) if stored.epoch.is_nil() => StartDecision::Fresh { cause: "the last comparison did not finish" },
            Some(_) if stored.epoch != here.epoch => StartDecision::Fresh { cause: "the queue is another one" },
            Some(_) if !self.continues(progress) => {
                StartDecision::Fresh { cause: "changes come from another source now" }
            }
            Some(position) => StartDecision::After(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_pipeline::source::{SourceIdentity, Stream};
    use uuid::Uuid;

    fn origin(timeline: i32, epoch: u128) -> Origin {
        let source = SourceIdentity { system_identifier: "7".to_owned(), timeline };
        let stream = Some(Stream::slot("s"));
        Origin { source, database: Uuid::from_u128(1), epoch: Uuid::from_u128(epoch), stream, history: 3 }
    }

    fn begin(position: Option<u64>, stored: Option<Origin>) -> StartDecision {
        let progress = stored.map(|origin| Progress { position: Position::ZERO, watermark: None, origin });
        StoredPositions { origin: origin(1, 5), position: position.map(Position::before), progress, behind: false }
            .decide()
    }

    #[test]
    fn only_the_complete_queue_resumes_where_it_stopped() {
        assert_eq!(begin(Some(80), Some(origin(1, 5))), StartDecision::After(Position::before(80)));
        for (position, stored) in [
            (None, None),
            (None, Some(origin(1, 5))),
            (Some(80), Some(origin(1, 6))),
            (Some(80), Some(origin(1, 0))),
            (Some(80), Some(Origin { history: 2, ..origin(1, 5) })),
            (Some(80), Some(Origin { history: 2, ..origin(2, 5) })),
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
    fn a_promotion_or_a_lost_record_begins_a_new_history() {
        for (position, stored) in [
            (Some(80), None),
            (Some(80), Some(origin(2, 5))),
            (None, Some(origin(2, 5))),
            (None, Some(Origin { database: Uuid::from_u128(2), ..origin(1, 5) })),
        ] {
            let decision = begin(position, stored.clone());
            assert!(matches!(decision, StartDecision::NewHistory { .. }), "{position:?} {stored:?}");
        }
    }

    #[test]
    fn a_queue_of_another_database_is_refused_by_name() {
        let mut server = origin(1, 5);
        server.source.system_identifier = "8".to_owned();
        for elsewhere in [server, Origin { database: Uuid::from_u128(2), ..origin(1, 5) }] {
            let expected = elsewhere.to_string();
            assert_eq!(begin(Some(80), Some(elsewhere)), StartDecision::Foreign { expected });
        }
    }
}
