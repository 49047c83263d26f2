//! Change records by polling `dms.Outbox`, for servers where replication is not granted.
//!
//! Read are rows of transactions older than every one that still runs, in the order of their transaction ids: none is
//! ever passed over, however late it commits. One long transaction holds everything back until it ends, and the distance
//! shows in [`SourceStatus`]. Positions are (transaction id, outbox id).
//!
//! The table needs the index that [`millstream_outbox::retention::ensure_polling_index`] makes.

use std::time::Duration;

use futures::future::BoxFuture;
use millstream_outbox::OutboxError;
use millstream_outbox::read::{self, SettledRows};
use millstream_pipeline::Position;
use millstream_pipeline::source::{ChangeBatch, ChangeSource, SourceError, SourceEvent, SourceIdentity, SourceStatus};
use tokio::time::{Instant, sleep_until};
use tokio_postgres::Client;

use super::sqlstate;
use millstream_pipeline::{Attempts, Backoff};

/// Where connections come from; whoever gives one drives it.
pub trait Connections: Send + Sync + 'static {
    /// A connection to the database with the outbox. The error is for people; it is tried again.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn AsClient>, String>>;
}

/// Something that holds a connection, such as an entry of a pool.
pub trait AsClient: Send + Sync + 'static {
    /// The connection.
    fn client(&self) -> &Client;
}

impl AsClient for Client {
    fn client(&self) -> &Client {
        self
    }
}

/// How to poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollOptions {
    /// How long to wait after a look that found nothing more.
    pub interval: Duration,
    /// How often the server's progress is handed out while there are no changes.
    pub idle_interval: Duration,
    /// How many changes a batch holds at most.
    pub batch_max: usize,
}

impl Default for PollOptions {
    fn default() -> Self {
        Self { interval: Duration::from_millis(100), idle_interval: Duration::from_secs(1), batch_max: 1_000 }
    }
}

/// A source that reads the outbox table.
pub struct PollSource {
    connections: Box<dyn Connections>,
    options: PollOptions,
    identity: Option<SourceIdentity>,
    connection: Option<Box<dyn AsClient>>,
    backoff: Attempts,
    next_look: Instant,
    next_idle: Instant,
    status: std::sync::Mutex<SourceStatus>,
    /// Everything up to here was handed out.
    delivered: Position,
}

impl PollSource {
    /// A source that goes on from `stored`, the position that is durable here, on the server that it belongs to (if that
    /// is known). It does nothing until [`ChangeSource::next`] is called.
    pub fn new(
        connections: impl Connections,
        options: PollOptions,
        stored: Position,
        identity: Option<SourceIdentity>,
    ) -> Self {
        let now = Instant::now();
        let status = SourceStatus { delivered: stored, confirmed: stored, ..SourceStatus::default() };
        Self {
            connections: Box::new(connections),
            options,
            identity,
            connection: None,
            backoff: Backoff::RECONNECT.attempts(),
            next_look: now,
            next_idle: now,
            status: std::sync::Mutex::new(status),
            delivered: stored,
        }
    }

    /// Only state that survives being dropped at an await is changed before the event is complete.
    async fn look_until_event(&mut self) -> Result<SourceEvent, SourceError> {
        loop {
            sleep_until(self.next_look).await;
            let rows = match self.look().await {
                Ok(rows) => rows,
                Err(Failure::Stop(error)) => {
                    self.update(|status| (status.connected, status.last_error) = (false, Some(error.to_string())));
                    return Err(error);
                }
                Err(Failure::Retry(reason)) => {
                    self.connection = None;
                    let pause = self.backoff.fail();
                    self.next_look = Instant::now() + pause;
                    tracing::warn!(%reason, ?pause, "polling the outbox failed; trying again");
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
        self.next_look = if full { now } else { now + self.options.interval };
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

    async fn look(&mut self) -> Result<SettledRows, Failure> {
        if self.connection.is_none() {
            let connection = self.connections.connect().await.map_err(Failure::Retry)?;
            let found = millstream_outbox::source_identity(connection.client()).await?;
            let expected = self.identity.get_or_insert_with(|| found.clone());
            if *expected != found {
                return Err(Failure::Stop(SourceError::Foreign { expected: expected.clone(), found }));
            }
            self.connection = Some(connection);
        }
        let Some(connection) = &self.connection else { return Err(Failure::Retry("no connection".to_owned())) };
        let limit = i64::try_from(self.options.batch_max.max(1)).unwrap_or(i64::MAX);
        Ok(read::before_horizon(connection.client(), self.delivered, limit).await?)
    }

    fn update(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// Why a look failed.
enum Failure {
    Retry(String),
    Stop(SourceError),
}

impl From<OutboxError> for Failure {
    fn from(error: OutboxError) -> Self {
        let OutboxError::Database { action, source } = &error else {
            return Self::Stop(SourceError::Unreadable(error.to_string()));
        };
        match source.sqlstate() {
            Some(code) if !sqlstate::is_retried(code) => {
                Self::Stop(SourceError::Refused { what: (*action).to_owned(), detail: source.to_string() })
            }
            // Without a code it is the connection that failed.
            _ => Self::Retry(format!("{action}: {source}")),
        }
    }
}

impl ChangeSource for PollSource {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>> {
        Box::pin(self.look_until_event())
    }

    /// The server keeps nothing for a poller; retention goes by the recovery watermark.
    fn confirm(&self, position: Position) {
        self.update(|status| status.confirmed = status.confirmed.max(position));
    }

    fn status(&self) -> SourceStatus {
        self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
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
