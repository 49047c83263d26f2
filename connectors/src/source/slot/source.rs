//! The source as its consumer holds it.

use std::thread::{self, JoinHandle};

use futures::future::BoxFuture;
use millstream_pipeline::Position;
use millstream_pipeline::source::{ChangeSource, SourceError, SourceEvent, SourceIdentity, SourceStatus};
use tokio::sync::{mpsc, oneshot, watch};

use super::options::LogicalOptions;
use super::supervisor::{SharedStatus, Supervisor, Wish};

/// How many events wait for the consumer.
const EVENTS_MAX: usize = 4;

/// Change records from a replication slot. Dropping it ends its connection at once; [`ChangeSource::shutdown`] lets the
/// last confirmation reach the server first.
#[derive(Debug)]
pub struct LogicalSource {
    events: mpsc::Receiver<Result<SourceEvent, SourceError>>,
    confirmed: watch::Sender<Position>,
    wish: watch::Sender<Wish>,
    status: SharedStatus,
    finished: Option<oneshot::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LogicalSource {
    /// Starts to follow the slot from `stored`, the position that is durable here, on the server that it belongs to (if
    /// that is known). Connecting goes on in the background: what is wrong with it comes out of
    /// [`ChangeSource::next`].
    ///
    /// # Errors
    /// When a name cannot be used, or the system gives no thread.
    pub fn start(
        options: LogicalOptions,
        stored: Position,
        identity: Option<SourceIdentity>,
    ) -> Result<Self, SourceError> {
        options.check()?;
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let (confirmed, confirmed_out) = watch::channel(stored);
        let (wish, wish_out) = watch::channel(Wish::Run);
        let (finish, finished) = oneshot::channel::<()>();
        let status = SharedStatus::default();
        status.update(|status| (status.confirmed, status.delivered) = (stored, stored));
        let supervisor = Supervisor {
            options,
            identity,
            events: events_in,
            confirmed: confirmed_out,
            wish: wish_out,
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
        Ok(Self { events, confirmed, wish, status, finished: Some(finished), thread: Some(thread) })
    }

    async fn finish(mut self) -> Result<(), SourceError> {
        self.wish.send_replace(Wish::Finish);
        // Whoever tries to hand out another event finds nobody.
        self.events.close();
        if let Some(finished) = self.finished.take() {
            // Nothing is ever sent: that the other end is gone is the message.
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
        self.wish.send_if_modified(|wish| {
            let running = *wish == Wish::Run;
            if running {
                *wish = Wish::Quit;
            }
            running
        });
        self.events.close();
        // After a shutdown it has finished; else it notices the wish wherever it is.
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the change source panicked");
        }
    }
}
