//! The consumer's handle of the source's thread.

use std::thread::{self, JoinHandle};

use futures::future::BoxFuture;
use millstream_pipeline::Position;
use millstream_pipeline::source::{ChangeSource, SourceError, SourceEvent, SourceIdentity, SourceStatus};
use tokio::sync::{mpsc, oneshot, watch};

use super::options::LogicalOptions;
use super::supervisor::{SharedStatus, StopMode, Supervisor};

/// Capacity of the channel of events.
const EVENTS_MAX: usize = 4;

/// Change records from a replication slot. Dropping it closes the connection at once; [`ChangeSource::shutdown`] sends
/// the last confirmation to the server first.
#[derive(Debug)]
pub struct LogicalSource {
    events: mpsc::Receiver<Result<SourceEvent, SourceError>>,
    confirmed: watch::Sender<Position>,
    stop: watch::Sender<StopMode>,
    status: SharedStatus,
    finished: Option<oneshot::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LogicalSource {
    /// Starts to follow the slot after `stored`, the durable position of this process, on the server with `identity`.
    /// Without an identity, the first server that responds is the right one. The source connects in the background;
    /// [`ChangeSource::next`] returns its errors.
    ///
    /// # Errors
    /// A name is not usable, or the thread cannot be started.
    pub fn start(
        options: LogicalOptions,
        stored: Position,
        identity: Option<SourceIdentity>,
    ) -> Result<Self, SourceError> {
        options.check()?;
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let (confirmed, confirmed_out) = watch::channel(stored);
        let (stop, stop_out) = watch::channel(StopMode::None);
        let (finish, finished) = oneshot::channel::<()>();
        let status = SharedStatus::default();
        status.update(|status| (status.confirmed, status.delivered) = (stored, stored));
        let supervisor = Supervisor {
            options,
            identity,
            events: events_in,
            confirmed: confirmed_out,
            stop: stop_out,
            status: status.clone(),
        };
        let refused = |error: std::io::Error| SourceError::Refused {
            what: "starting the source's thread".to_owned(),
            detail: error.to_string(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let run = move || {
            runtime.block_on(supervisor.run());
            drop(finish);
        };
        let thread = thread::Builder::new().name("change-source".to_owned()).spawn(run).map_err(refused)?;
        Ok(Self { events, confirmed, stop, status, finished: Some(finished), thread: Some(thread) })
    }

    async fn finish(mut self) -> Result<(), SourceError> {
        self.stop.send_replace(StopMode::Graceful);
        self.events.close();
        if let Some(finished) = self.finished.take() {
            // The thread sends nothing; it drops its end when it is done.
            drop(finished.await);
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(())) => Ok(()),
            _ => Err(SourceError::Stopped),
        }
    }
}

impl ChangeSource for LogicalSource {
    fn next(&mut self) -> BoxFuture<'_, Result<SourceEvent, SourceError>> {
        Box::pin(async move { self.events.recv().await.unwrap_or(Err(SourceError::Stopped)) })
    }

    fn confirm(&self, position: Position) {
        self.confirmed.send_if_modified(|confirmed| {
            let further = position > *confirmed;
            if further {
                *confirmed = position;
            }
            further
        });
    }

    fn status(&self) -> SourceStatus {
        self.status.read()
    }

    fn shutdown(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(self.finish())
    }
}

impl Drop for LogicalSource {
    fn drop(&mut self) {
        self.stop.send_if_modified(|stop| {
            let running = *stop == StopMode::None;
            if running {
                *stop = StopMode::Immediate;
            }
            running
        });
        self.events.close();
        // After a shutdown the thread has ended; else it sees the stop request at its next await.
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the change source's thread panicked");
        }
    }
}
