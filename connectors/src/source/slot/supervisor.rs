//! What runs on the source's thread: connects, streams, and connects again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_pipeline::Position;
use millstream_pipeline::source::{SourceError, SourceEvent, SourceIdentity, SourceStatus};
use pgwire_replication::{Lsn, ReplicationClient};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::assembler::Assembler;
use super::options::LogicalOptions;
use super::policy::{self, Verdict};
use super::session::{self, SessionError};
use super::{heartbeat, slot};
use millstream_pipeline::Backoff;

/// How long a shutdown waits for the last confirmation to be sent, and then for the connection to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long connecting may take before it counts as failed.
const CONNECT: Duration = Duration::from_secs(30);

/// What the source's handle asks of the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    /// Stop when the last confirmation has been sent.
    Finish,
    /// Stop at once.
    Quit,
}

/// Events, then at most one error.
pub(super) type Events = mpsc::Sender<Result<SourceEvent, SourceError>>;

/// The status that both threads see.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedStatus(Arc<Mutex<SourceStatus>>);

impl SharedStatus {
    pub(super) fn read(&self) -> SourceStatus {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The source's thread.
pub(super) struct Supervisor {
    pub(super) options: LogicalOptions,
    /// The server that the stored position belongs to, if it is known; else the first that answers.
    pub(super) identity: Option<SourceIdentity>,
    pub(super) events: Events,
    pub(super) confirmed: watch::Receiver<Position>,
    pub(super) wish: watch::Receiver<Wish>,
    pub(super) status: SharedStatus,
}

/// Why a connection ended.
enum Ended {
    /// As wished.
    Wished,
    /// The consumer is gone.
    Deserted,
    Failed(SessionError),
    /// The server said nothing for too long.
    Silent,
}

impl Supervisor {
    /// Streams until it is told to stop, or something happens that needs somebody.
    pub(super) async fn run(mut self) {
        let beats = self.options.heartbeat_interval;
        let beating = beats.map(|interval| tokio::spawn(heartbeat::beat(self.options.clone(), interval)));
        if let Err(error) = self.supervise().await {
            self.status.update(|status| status.last_error = Some(error.to_string()));
            // The consumer learns of it with its next call, after the events before it, if it still wants to.
            drop(self.events.send(Err(error)).await);
        }
        self.status.update(|status| status.connected = false);
        if let Some(beating) = beating {
            beating.abort();
        }
    }

    async fn supervise(&mut self) -> Result<(), SourceError> {
        let stored = *self.confirmed.borrow();
        let mut assembler = Assembler::new(stored, self.options.batch_max);
        let mut backoff = Backoff::RECONNECT.attempts();
        let mut silence_max = self.options.silence_max;
        loop {
            let (mut wish, status) = (self.wish.clone(), self.status.clone());
            let mut heard = false;
            let ended = tokio::select! {
                ended = self.connection(&mut assembler, silence_max, &mut heard) => ended,
                // A wish to finish is heard where the stream runs; one to quit, or while there is none, here.
                () = wished(&mut wish, &status) => Ended::Wished,
            };
            self.status.update(|status| status.connected = false);
            if heard {
                backoff = Backoff::RECONNECT.attempts();
            }
            let reason = match ended {
                Ended::Wished | Ended::Deserted => return Ok(()),
                Ended::Failed(SessionError::Source(error)) => return Err(error),
                Ended::Failed(SessionError::Client(error)) => {
                    match policy::judge("following the outbox", &self.options.slot, &error) {
                        Verdict::Stop(error) => return Err(error),
                        Verdict::Retry(reason) => reason,
                    }
                }
                Ended::Silent => {
                    // It may be busy with a transaction larger than any before, and would begin again with it.
                    silence_max *= 2;
                    "the server said nothing for too long".to_owned()
                }
            };
            let pause = backoff.fail();
            tracing::warn!(slot = %self.options.slot, %reason, ?pause, "the change stream broke; connecting again");
            self.status.update(|status| {
                status.reconnects += 1;
                status.last_error = Some(reason);
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = wished(&mut wish, &status) => return Ok(()),
            }
        }
    }

    /// One connection from beginning to end.
    async fn connection(&mut self, assembler: &mut Assembler, silence_max: Duration, heard: &mut bool) -> Ended {
        assembler.reconnected();
        let mut client = match timeout(CONNECT, self.connect()).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Ended::Failed(error),
            Err(_) => return Ended::Silent,
        };
        self.status.update(|status| status.connected = true);
        let ended = self.stream(&mut client, assembler, silence_max, heard).await;
        if matches!(ended, Ended::Wished) {
            self.last_words(&mut client).await;
        }
        ended
    }

    /// Connects and starts to stream, after the server and the slot turned out to be those that the position belongs to.
    async fn connect(&mut self) -> Result<ReplicationClient, SessionError> {
        let stored = *self.confirmed.borrow();
        let mut client = session::open(&self.options, stored.lsn).await?;
        let found = session::identity(&mut client).await?;
        let expected = self.identity.get_or_insert_with(|| found.clone());
        if *expected != found {
            return Err(SourceError::Foreign { expected: expected.clone(), found }.into());
        }
        let name = &self.options.slot;
        let Some(row) = session::slot(&mut client, name).await? else {
            let detail = "it does not exist on the server".to_owned();
            return Err(SourceError::Lost { what: format!("slot {name}"), detail }.into());
        };
        slot::check(&self.options, &row)?;
        if row.confirmed > stored.lsn {
            return Err(SourceError::Gap { stored, resumes: Position::before(row.confirmed) }.into());
        }
        session::check_publication(&mut client, &self.options.publication).await?;
        client.start().await?;
        client.wait_started().await?;
        Ok(client)
    }

    /// Moves events from the connection to the consumer, and confirmations back. In each round the first of these that
    /// can happen does: a wish, a confirmation, an event to take in while there is room, a batch to hand out.
    async fn stream(
        &self,
        client: &mut ReplicationClient,
        assembler: &mut Assembler,
        silence_max: Duration,
        heard: &mut bool,
    ) -> Ended {
        let metrics = client.metrics();
        let (mut wish, mut confirmed, events) = (self.wish.clone(), self.confirmed.clone(), self.events.clone());
        self.acknowledge(client, &mut confirmed);
        let mut next_idle = Instant::now();
        let mut silent_at = Instant::now() + silence_max;
        loop {
            let full = assembler.is_full();
            tokio::select! {
                biased;
                () = stopping(&mut wish) => return Ended::Wished,
                changed = confirmed.changed() => {
                    if changed.is_err() {
                        return Ended::Deserted;
                    }
                    self.acknowledge(client, &mut confirmed);
                }
                event = client.recv(), if !full => {
                    let event = match event {
                        Ok(Some(event)) => event,
                        Ok(None) => return Ended::Failed(disconnected()),
                        Err(error) => return Ended::Failed(error.into()),
                    };
                    silent_at = Instant::now() + silence_max;
                    if !std::mem::replace(heard, true) {
                        self.status.update(|status| status.last_error = None);
                    }
                    if let Err(error) = assembler.accept(event) {
                        return Ended::Failed(error.into());
                    }
                }
                permit = events.reserve(), if assembler.has_event() => {
                    let Ok(permit) = permit else { return Ended::Deserted };
                    self.hand_out(permit, assembler, metrics.last_wal_end());
                    silent_at = Instant::now() + silence_max;
                }
                () = sleep_until(next_idle), if assembler.has_idle() && !assembler.has_event() => {
                    next_idle = Instant::now() + self.options.idle_interval;
                    // A consumer that is busy has no use for it now.
                    if let Ok(permit) = events.try_reserve() {
                        self.hand_out(permit, assembler, metrics.last_wal_end());
                    }
                }
                () = sleep_until(silent_at), if !full => return Ended::Silent,
            }
        }
    }

    fn acknowledge(&self, client: &ReplicationClient, confirmed: &mut watch::Receiver<Position>) {
        let position = *confirmed.borrow_and_update();
        client.update_applied_lsn(Lsn(position.lsn));
        self.status.update(|status| status.confirmed = position);
    }

    /// The status first: whoever has the event finds it in the status too.
    fn hand_out(
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

    /// Stopping the client throws away an acknowledgement that was not sent yet, so it is waited for.
    async fn last_words(&self, client: &mut ReplicationClient) {
        if *self.wish.borrow() == Wish::Finish {
            self.acknowledge(client, &mut self.confirmed.clone());
            let confirmed = Lsn(self.confirmed.borrow().lsn);
            let metrics = client.metrics();
            let sent = async {
                while metrics.last_applied_lsn() < confirmed {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            if timeout(LAST_WORDS, sent).await.is_err() {
                tracing::warn!(
                    "the server was not told what is safe before the end: it will be sent again and skipped"
                );
            }
        }
        if !matches!(timeout(LAST_WORDS, client.shutdown()).await, Ok(Ok(()))) {
            tracing::debug!("the replication connection did not end in order");
        }
    }
}

/// Completes when there is nothing to be finished and the wish is to stop, or when it is to stop at once.
async fn wished(wish: &mut watch::Receiver<Wish>, status: &SharedStatus) {
    let stop = |wish: &Wish| match wish {
        Wish::Run => false,
        Wish::Finish => !status.read().connected,
        Wish::Quit => true,
    };
    // If the handle is gone, so is the wish for anything else.
    drop(wish.wait_for(stop).await);
}

/// Completes when the stream is to end.
async fn stopping(wish: &mut watch::Receiver<Wish>) {
    drop(wish.wait_for(|wish| *wish != Wish::Run).await);
}

fn disconnected() -> SessionError {
    SessionError::Client(pgwire_replication::PgWireError::from(std::io::Error::new(
        std::io::ErrorKind::ConnectionAborted,
        "the server ended the stream",
    )))
}
