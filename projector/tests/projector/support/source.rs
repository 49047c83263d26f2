//! Sources for tests: one that a test feeds, one that polls the outbox table.

use futures::future::BoxFuture;
use millstream_outbox::read::before_horizon;
use millstream_pipeline::source::{ChangeBatch, ChangeSource, SourceError, SourceEvent, SourceStatus, Stream};
use millstream_pipeline::{Change, Position};
use millstream_projector::{Opened, PositionKind, SourceFactory, Start};
use millstream_store::connect::Database;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// A source that hands out the events of a test. Clones are the same source, which may be opened repeatedly.
#[derive(Clone, Default)]
pub(crate) struct HandSource(Arc<Hand>);

#[derive(Default)]
struct Hand {
    state: Mutex<HandState>,
    arrived: Notify,
}

#[derive(Default)]
struct HandState {
    events: VecDeque<Result<SourceEvent, SourceError>>,
    refusals: VecDeque<SourceError>,
    starts: Vec<Start>,
    next_lsn: u64,
    confirmed: Position,
    stream: Option<Stream>,
    covering: Covering,
}

/// Its mapping from log positions to the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Covering {
    /// The stream consists of WAL positions.
    #[default]
    Itself,
    /// Before this position.
    Before(Position),
    /// Not known yet.
    NotYet,
    /// The position cannot be mapped.
    Unknown,
}

impl HandSource {
    fn state(&self) -> MutexGuard<'_, HandState> {
        self.0.state.lock().expect("not poisoned")
    }

    fn push(&self, event: Result<SourceEvent, SourceError>) {
        self.state().events.push_back(event);
        self.0.arrived.notify_one();
    }

    /// Hands out changes as one transaction; returns the position after them.
    pub(crate) fn send(&self, changes: Vec<Change>) -> Position {
        let position = {
            let mut state = self.state();
            state.next_lsn += 0x100;
            Position::before(state.next_lsn)
        };
        self.push(Ok(SourceEvent::Changes(ChangeBatch { changes, position })));
        position
    }

    /// Reports an idle server at `lsn`.
    pub(crate) fn idle(&self, lsn: u64) {
        self.state().next_lsn = lsn;
        self.push(Ok(SourceEvent::Idle { position: Position::before(lsn) }));
    }

    /// Sets the next position, whatever the last one was.
    pub(crate) fn restart_at(&self, lsn: u64) {
        let mut state = self.state();
        state.next_lsn = lsn;
        state.confirmed = Position::ZERO;
    }

    /// Fails, after the events sent before.
    pub(crate) fn fail(&self, error: SourceError) {
        self.push(Err(error));
    }

    /// Refuses to open once.
    pub(crate) fn refuse(&self, error: SourceError) {
        self.state().refusals.push_back(error);
    }

    /// The start of each opening.
    pub(crate) fn starts(&self) -> Vec<Start> {
        self.state().starts.clone()
    }

    /// Becomes another stream.
    pub(crate) fn become_stream(&self, stream: Stream) {
        self.state().stream = Some(stream);
    }

    /// Sets the mapping from log positions.
    pub(crate) fn set_covering(&self, covering: Covering) {
        self.state().covering = covering;
    }

    pub(crate) fn confirmed(&self) -> Position {
        self.state().confirmed
    }
}

impl SourceFactory for HandSource {
    fn stream(&self) -> Stream {
        self.state().stream.clone().unwrap_or_else(|| Stream::slot("hand"))
    }

    fn covering(&self, lsn: u64) -> BoxFuture<'_, Result<Option<Position>, SourceError>> {
        let answer = match self.state().covering {
            Covering::Itself => Ok(Some(Position::before(lsn))),
            Covering::Before(position) => Ok(Some(position)),
            Covering::NotYet => Ok(None),
            Covering::Unknown => {
                Err(SourceError::Lost { what: "the slot".to_owned(), detail: "made for a test".to_owned() })
            }
        };
        Box::pin(std::future::ready(answer))
    }

    fn open(&self, start: Start) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(async move {
            let mut state = self.state();
            state.starts.push(start.clone());
            if let Some(error) = state.refusals.pop_front() {
                return Err(error);
            }
            let position = match start {
                Start::After { position, .. } => position,
                Start::Fresh => Position::before(state.next_lsn),
            };
            Ok(Opened { source: Box::new(self.clone()), position, kind: PositionKind::Wal })
        })
    }
}

impl ChangeSource for HandSource {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>> {
        Box::pin(async move {
            loop {
                let arrived = self.0.arrived.notified();
                let event = self.state().events.pop_front();
                match event {
                    Some(event) => return event,
                    None => arrived.await,
                }
            }
        })
    }

    fn confirm(&self, position: Position) {
        let mut state = self.state();
        state.confirmed = state.confirmed.max(position);
    }

    fn status(&self) -> SourceStatus {
        let state = self.state();
        let server_position = Position::before(state.next_lsn);
        SourceStatus { connected: true, server_position, confirmed: state.confirmed, ..SourceStatus::default() }
    }

    fn shutdown(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A source that polls the outbox table every few milliseconds.
pub(crate) struct PolledSource {
    database: Database,
    position: Position,
}

struct PolledFactory(Database);

impl PolledSource {
    pub(crate) fn factory(database: &Database) -> Arc<dyn SourceFactory> {
        Arc::new(PolledFactory(database.clone()))
    }
}

impl SourceFactory for PolledFactory {
    fn stream(&self) -> Stream {
        Stream::poll()
    }

    fn open(&self, start: Start) -> BoxFuture<'_, Result<Opened, SourceError>> {
        Box::pin(async move {
            let position = match start {
                Start::After { position, .. } => position,
                Start::Fresh => Position::ZERO,
            };
            let source = Box::new(PolledSource { database: self.0.clone(), position });
            Ok(Opened { source, position, kind: PositionKind::Transactions })
        })
    }
}

impl ChangeSource for PolledSource {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>> {
        Box::pin(async move {
            loop {
                let refused = |detail: String| SourceError::Refused { what: "polling".to_owned(), detail };
                let client = self.database.get().await.map_err(|error| refused(error.to_string()))?;
                let rows = before_horizon(&*client, self.position, 1_000).await;
                let rows = rows.map_err(|error| refused(error.to_string()))?;
                drop(client);
                self.position = rows.position;
                if !rows.changes.is_empty() {
                    return Ok(SourceEvent::Changes(ChangeBatch { changes: rows.changes, position: rows.position }));
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    }

    fn confirm(&self, _: Position) {}

    fn status(&self) -> SourceStatus {
        SourceStatus { connected: true, ..SourceStatus::default() }
    }

    fn shutdown(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async { Ok(()) })
    }
}
