//! Change records by polling `dms.Outbox`, for servers that do not grant replication.
//!
//! The source reads rows of transactions that are older than every running transaction, ordered by transaction id. It
//! therefore never skips a row, however late its transaction commits. One long transaction holds back all later rows
//! until it ends; [`SourceStatus`] shows the distance. A position is the pair (transaction id, outbox id).
//!
//! The table needs the index that [`millstream_outbox::retention::ensure_polling_index`] creates.

use std::time::Duration;

use futures::future::BoxFuture;
use millstream_outbox::OutboxError;
use millstream_outbox::read::{self, SettledRows};
use millstream_pipeline::source::{ChangeBatch, ChangeSource, SourceError, SourceEvent, SourceIdentity, SourceStatus};
use millstream_pipeline::{Attempts, Backoff, Position};
use millstream_store::connect::{ConnectOptions, Session};
use millstream_store::error::is_transient;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::failure::SourceFailure;

/// Intervals and batch size of a [`PollSource`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollOptions {
    /// Pause after a poll that did not fill a batch.
    pub interval: Duration,
    /// Minimum time between idle events, which report the server's progress while there are no changes.
    pub idle_interval: Duration,
    /// Maximum number of changes in a batch.
    pub batch_max: usize,
}

impl Default for PollOptions {
    fn default() -> Self {
        Self { interval: Duration::from_millis(100), idle_interval: Duration::from_secs(1), batch_max: 1_000 }
    }
}

/// A source that reads the outbox table over its own session.
pub struct PollSource {
    database: ConnectOptions,
    options: PollOptions,
    identity: Option<SourceIdentity>,
    session: Option<Session>,
    backoff: Attempts,
    next_poll: Instant,
    next_idle: Instant,
    status: Mutex<SourceStatus>,
    /// Position of the last returned event.
    delivered: Position,
}

impl PollSource {
    /// Creates a source that continues after `stored`, the durable position of this process, on the server with
    /// `identity`. Without an identity, the source accepts the first server that responds. It connects at the first
    /// call of [`ChangeSource::next`].
    pub fn new(
        database: ConnectOptions,
        options: PollOptions,
        stored: Position,
        identity: Option<SourceIdentity>,
    ) -> Self {
        let now = Instant::now();
        let status = SourceStatus { delivered: stored, confirmed: stored, ..SourceStatus::default() };
        Self {
            database,
            options,
            identity,
            session: None,
            backoff: Backoff::RECONNECT.attempts(),
            next_poll: now,
            next_idle: now,
            status: Mutex::new(status),
            delivered: stored,
        }
    }

    /// Polls until there is an event. Cancel safe: the delivered position advances only when the event is complete.
    async fn poll_until_event(&mut self) -> Result<SourceEvent, SourceError> {
        loop {
            sleep_until(self.next_poll).await;
            let rows = match self.poll().await {
                Ok(rows) => rows,
                Err(SourceFailure::Stop(error)) => {
                    self.update(|status| (status.connected, status.last_error) = (false, Some(error.to_string())));
                    return Err(error);
                }
                Err(SourceFailure::Retry(reason)) => {
                    self.session = None;
                    let pause = self.backoff.fail();
                    self.next_poll = Instant::now() + pause;
                    tracing::warn!(%reason, ?pause, "failed to poll the outbox; retrying");
                    self.update(|status| {
                        status.connected = false;
                        status.reconnects += 1;
                        status.last_error = Some(reason);
                    });
                    continue;
                }
            };
            if let Some(event) = self.event(rows) {
                return Ok(event);
            }
        }
    }

    fn event(&mut self, rows: SettledRows) -> Option<SourceEvent> {
        let now = Instant::now();
        self.backoff = Backoff::RECONNECT.attempts();
        let full = rows.changes.len() >= self.options.batch_max;
        self.next_poll = if full { now } else { now + self.options.interval };
        let idle = rows.changes.is_empty();
        let event = if !idle {
            Some(SourceEvent::Changes(ChangeBatch { changes: rows.changes, position: rows.position }))
        } else if rows.position > self.delivered && now >= self.next_idle {
            self.next_idle = now + self.options.idle_interval;
            Some(SourceEvent::Idle { position: rows.position })
        } else {
            None
        };
        if event.is_some() {
            self.delivered = rows.position;
        }
        let delivered = self.delivered;
        self.update(|status| {
            (status.connected, status.last_error) = (true, None);
            status.server_position = Position::before(rows.horizon).max(delivered);
            status.delivered = delivered;
        });
        event
    }

    async fn poll(&mut self) -> Result<SettledRows, SourceFailure> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connect().await?,
        };
        let session = self.session.insert(session);
        let limit = i64::try_from(self.options.batch_max.max(1)).unwrap_or(i64::MAX);
        let rows = read::before_horizon(&**session, self.delivered, limit).await?;
        if rows.horizon < self.delivered.lsn {
            // Transactions that were read here do not exist any more, and their ids are given out again.
            let server = Position::before(rows.horizon);
            return Err(SourceFailure::Stop(SourceError::Behind { stored: self.delivered, server }));
        }
        Ok(rows)
    }

    /// Opens a session and checks that it is on the expected server.
    async fn connect(&mut self) -> Result<Session, SourceFailure> {
        let opened = Session::open(&self.database).await;
        let session = opened.map_err(|error| SourceFailure::Retry(error.to_string()))?;
        let found = millstream_outbox::source_identity(&*session).await?;
        let expected = self.identity.get_or_insert_with(|| found.clone());
        if *expected != found {
            return Err(SourceFailure::Stop(SourceError::Foreign { expected: expected.clone(), found }));
        }
        Ok(session)
    }

    fn update(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.status.lock());
    }
}

impl From<OutboxError> for SourceFailure {
    fn from(error: OutboxError) -> Self {
        let OutboxError::Database { action, source } = &error else {
            return Self::Stop(SourceError::Unreadable(error.to_string()));
        };
        if source.is_unavailable() || source.is_retryable() || source.sqlstate().is_some_and(is_transient) {
            return Self::Retry(format!("{action}: {source}"));
        }
        Self::Stop(SourceError::Refused { what: (*action).to_owned(), detail: source.to_string() })
    }
}

impl ChangeSource for PollSource {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>> {
        Box::pin(self.poll_until_event())
    }

    /// Updates only the status: the server keeps no state for a poller, and retention follows the recovery watermark.
    fn confirm(&self, position: Position) {
        self.update(|status| status.confirmed = status.confirmed.max(position));
    }

    fn status(&self) -> SourceStatus {
        self.status.lock().clone()
    }

    fn shutdown(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl std::fmt::Debug for PollSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PollSource")
            .field("options", &self.options)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}
