//! The task on the source's thread: connects, streams and reconnects.

use std::sync::Arc;
use std::time::Duration;

use millstream_pipeline::source::{SourceError, SourceEvent, SourceIdentity, SourceStatus};
use millstream_pipeline::{Backoff, Position};
use parking_lot::Mutex;
use pgwire_replication::{Lsn, ReplicationClient};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::assembler::Assembler;
use super::options::LogicalOptions;
use super::session::{self, SessionError, System};
use super::{errors, heartbeat, lifecycle};
use crate::source::failure::SourceFailure;

/// Maximum time that a shutdown waits for the last confirmation to be sent, and then for the connection to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time after which an attempt to connect has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A stop request of the source's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopMode {
    /// Keep running.
    None,
    /// Stop after the last confirmation has been sent.
    Graceful,
    /// Stop at once.
    Immediate,
}

/// Events, then at most one error.
pub(super) type Events = mpsc::Sender<Result<SourceEvent, SourceError>>;

/// The status, shared by both threads.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedStatus(Arc<Mutex<SourceStatus>>);

impl SharedStatus {
    pub(super) fn read(&self) -> SourceStatus {
        self.0.lock().clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.0.lock());
    }
}

/// The state of the source's thread.
pub(super) struct Supervisor {
    pub(super) options: LogicalOptions,
    /// The server of the stored position; if unknown, the first that responds.
    pub(super) identity: Option<SourceIdentity>,
    pub(super) events: Events,
    pub(super) confirmed: watch::Receiver<Position>,
    pub(super) stop: watch::Receiver<StopMode>,
    pub(super) status: SharedStatus,
}

/// The reason why a connection ended.
enum ConnectionEnd {
    /// A stop was requested.
    Stopped,
    /// The consumer dropped its handle.
    ConsumerGone,
    Failed(SessionError),
    /// The server was silent for too long.
    Silent,
}

impl Supervisor {
    /// Streams until a stop is requested or an error needs an operator.
    pub(super) async fn run(mut self) {
        let interval = self.options.heartbeat_interval;
        let heartbeat = interval.map(|interval| tokio::spawn(heartbeat::run(self.options.clone(), interval)));
        if let Err(error) = self.supervise().await {
            self.status.update(|status| status.last_error = Some(error.to_string()));
            // The consumer receives it after the events before it, unless it has dropped its handle.
            drop(self.events.send(Err(error)).await);
        }
        self.status.update(|status| status.connected = false);
        if let Some(heartbeat) = heartbeat {
            heartbeat.abort();
        }
    }

    async fn supervise(&mut self) -> Result<(), SourceError> {
        let stored = *self.confirmed.borrow();
        let mut assembler = Assembler::new(stored, self.options.batch_max);
        let mut backoff = Backoff::RECONNECT.attempts();
        let mut silence_max = self.options.silence_max;
        loop {
            let (mut stop, status) = (self.stop.clone(), self.status.clone());
            let mut heard = false;
            let ended = tokio::select! {
                ended = self.connection(&mut assembler, silence_max, &mut heard) => ended,
                // While streaming, `stream` handles a graceful stop; every other stop request is handled here.
                () = stop_now(&mut stop, &status) => ConnectionEnd::Stopped,
            };
            self.status.update(|status| status.connected = false);
            if heard {
                backoff = Backoff::RECONNECT.attempts();
            }
            let reason = match ended {
                ConnectionEnd::Stopped | ConnectionEnd::ConsumerGone => return Ok(()),
                ConnectionEnd::Failed(SessionError::Source(error)) => return Err(error),
                ConnectionEnd::Failed(SessionError::Standby) => session::STANDBY.to_owned(),
                ConnectionEnd::Failed(SessionError::Client(error)) => {
                    match errors::classify("following the outbox", &self.options.slot, &error) {
                        SourceFailure::Stop(error) => return Err(error),
                        SourceFailure::Retry(reason) => reason,
                    }
                }
                ConnectionEnd::Silent => {
                    // The server may be decoding a transaction larger than any before; after a reconnect it starts
                    // over, so it gets more time.
                    silence_max *= 2;
                    "the server was silent for too long".to_owned()
                }
            };
            let pause = backoff.fail();
            tracing::warn!(slot = %self.options.slot, %reason, ?pause, "the change stream broke; reconnecting");
            self.status.update(|status| {
                status.reconnects += 1;
                status.last_error = Some(reason);
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop_now(&mut stop, &status) => return Ok(()),
            }
        }
    }

    /// Runs one connection.
    async fn connection(
        &mut self,
        assembler: &mut Assembler,
        silence_max: Duration,
        heard: &mut bool,
    ) -> ConnectionEnd {
        assembler.reconnected();
        let mut client = match timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return ConnectionEnd::Failed(error),
            Err(_) => return ConnectionEnd::Silent,
        };
        self.status.update(|status| status.connected = true);
        let ended = self.stream(&mut client, assembler, silence_max, heard).await;
        if matches!(ended, ConnectionEnd::Stopped) {
            self.close(&mut client).await;
        }
        ended
    }

    /// Connects and starts to stream, after checks that server, slot and publication match the stored position.
    async fn connect(&mut self) -> Result<ReplicationClient, SessionError> {
        let stored = *self.confirmed.borrow();
        let mut client = session::open(&self.options, stored.lsn).await?;
        let System { identity: found, wal_end } = session::identify(&mut client).await?;
        let expected = self.identity.get_or_insert_with(|| found.clone());
        if *expected != found {
            return Err(SourceError::Foreign { expected: expected.clone(), found }.into());
        }
        lifecycle::check_not_ahead(stored, wal_end)?;
        let name = &self.options.slot;
        let Some(row) = session::slot(&mut client, name).await? else {
            let detail = "it does not exist on the server".to_owned();
            return Err(SourceError::Lost { what: format!("slot {name}"), detail }.into());
        };
        lifecycle::check(&self.options, &row)?;
        lifecycle::check_not_ahead(Position::before(row.confirmed), wal_end)?;
        if row.confirmed > stored.lsn {
            return Err(SourceError::Gap { stored, resumes: Position::before(row.confirmed) }.into());
        }
        session::check_publication(&mut client, &self.options.publication).await?;
        client.start().await?;
        client.wait_started().await?;
        Ok(client)
    }

    /// Moves events from the connection to the consumer, and confirmations back. Each round handles the first of these
    /// that is ready: a stop request, a confirmation, an event from the server while the batch is not full, a batch for
    /// the consumer.
    async fn stream(
        &self,
        client: &mut ReplicationClient,
        assembler: &mut Assembler,
        silence_max: Duration,
        heard: &mut bool,
    ) -> ConnectionEnd {
        let metrics = client.metrics();
        let (mut stop, mut confirmed, events) = (self.stop.clone(), self.confirmed.clone(), self.events.clone());
        self.acknowledge(client, &mut confirmed);
        let mut next_idle = Instant::now();
        let mut silent_at = Instant::now() + silence_max;
        loop {
            let full = assembler.is_full();
            tokio::select! {
                biased;
                () = stop_requested(&mut stop) => return ConnectionEnd::Stopped,
                changed = confirmed.changed() => {
                    if changed.is_err() {
                        return ConnectionEnd::ConsumerGone;
                    }
                    self.acknowledge(client, &mut confirmed);
                }
                event = client.recv(), if !full => {
                    let event = match event {
                        Ok(Some(event)) => event,
                        Ok(None) => return ConnectionEnd::Failed(disconnected()),
                        Err(error) => return ConnectionEnd::Failed(error.into()),
                    };
                    silent_at = Instant::now() + silence_max;
                    if !std::mem::replace(heard, true) {
                        self.status.update(|status| status.last_error = None);
                    }
                    if let Err(error) = assembler.accept(event) {
                        return ConnectionEnd::Failed(error.into());
                    }
                }
                permit = events.reserve(), if assembler.has_event() => {
                    let Ok(permit) = permit else { return ConnectionEnd::ConsumerGone };
                    self.send_event(permit, assembler, metrics.last_wal_end());
                    silent_at = Instant::now() + silence_max;
                }
                () = sleep_until(next_idle), if assembler.has_idle() && !assembler.has_event() => {
                    next_idle = Instant::now() + self.options.idle_interval;
                    // A busy consumer does not need it now.
                    if let Ok(permit) = events.try_reserve() {
                        self.send_event(permit, assembler, metrics.last_wal_end());
                    }
                }
                () = sleep_until(silent_at), if !full => return ConnectionEnd::Silent,
            }
        }
    }

    fn acknowledge(&self, client: &ReplicationClient, confirmed: &mut watch::Receiver<Position>) {
        let position = *confirmed.borrow_and_update();
        client.update_applied_lsn(Lsn(position.lsn));
        self.status.update(|status| status.confirmed = position);
    }

    /// Sends the next event. Updates the status first, so that the consumer of an event sees it in the status too.
    fn send_event(
        &self,
        permit: mpsc::Permit<'_, Result<SourceEvent, SourceError>>,
        assembler: &mut Assembler,
        wal_end: Lsn,
    ) {
        let event = assembler.take_event();
        let delivered = assembler.accepted();
        let server = Position::before(wal_end.0).max(delivered);
        self.status.update(|status| {
            status.delivered = delivered;
            status.server_position = server;
        });
        permit.send(Ok(event));
    }

    /// Closes the connection. On a graceful stop it first waits until the last acknowledgement has been sent, which the
    /// client would otherwise discard.
    async fn close(&self, client: &mut ReplicationClient) {
        if *self.stop.borrow() == StopMode::Graceful {
            self.acknowledge(client, &mut self.confirmed.clone());
            let confirmed = Lsn(self.confirmed.borrow().lsn);
            let metrics = client.metrics();
            let sent = async {
                while metrics.last_applied_lsn() < confirmed {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            if timeout(CLOSE_TIMEOUT, sent).await.is_err() {
                tracing::warn!(
                    "failed to send the last confirmation: the server sends those changes again, and they are skipped"
                );
            }
        }
        if !matches!(timeout(CLOSE_TIMEOUT, client.shutdown()).await, Ok(Ok(()))) {
            tracing::debug!("the replication connection did not close cleanly");
        }
    }
}

/// Completes on a request for an immediate stop, or for a graceful one while the source is not connected.
async fn stop_now(stop: &mut watch::Receiver<StopMode>, status: &SharedStatus) {
    let is_now = |stop: &StopMode| match stop {
        StopMode::None => false,
        StopMode::Graceful => !status.read().connected,
        StopMode::Immediate => true,
    };
    // An error means that the handle is gone, which is a stop request too.
    drop(stop.wait_for(is_now).await);
}

/// Completes on any stop request.
async fn stop_requested(stop: &mut watch::Receiver<StopMode>) {
    drop(stop.wait_for(|stop| *stop != StopMode::None).await);
}

fn disconnected() -> SessionError {
    SessionError::Client(pgwire_replication::PgWireError::from(std::io::Error::new(
        std::io::ErrorKind::ConnectionAborted,
        "the server ended the stream",
    )))
}
