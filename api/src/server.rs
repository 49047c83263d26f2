//! Serving: connections over TCP, and ending without breaking off what was begun.

use crate::metric;
use crate::options::ServerOptions;
use crate::routes::{Api, StatusParts, router, status_router};
use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// Smallest buffer that hyper can do with.
const HEAD_MIN_BYTES: usize = 8 * 1024;

/// A process out of file descriptors cannot accept: it waits for some to come back.
const AFTER_ACCEPT_FAILED: Duration = Duration::from_millis(100);

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// Connections that were cut at the deadline.
    pub connections_cut: usize,
    /// Writes that had not ended at the deadline. They end with the runtime, and PostgreSQL rolls them back.
    pub writes_left: usize,
}

impl Drained {
    /// Everything that was begun was ended.
    pub fn is_complete(&self) -> bool {
        self.connections_cut == 0 && self.writes_left == 0
    }
}

/// Serves until `shutdown` is cancelled; then accepts nothing more, lets requests that are being answered and all writes
/// end, and returns at the deadline at the latest.
///
/// Who may reach the listener is the caller's business.
pub async fn serve(listener: TcpListener, api: Api, shutdown: CancellationToken, options: ServerOptions) -> Drained {
    run(listener, router(api.clone()), &api.0.writes, shutdown, options).await
}

/// As [`serve`], with health and metrics alone.
pub async fn serve_status(
    listener: TcpListener,
    parts: StatusParts,
    shutdown: CancellationToken,
    options: ServerOptions,
) -> Drained {
    run(listener, status_router(parts), &TaskTracker::new(), shutdown, options).await
}

async fn run(
    listener: TcpListener,
    router: Router,
    writes: &TaskTracker,
    shutdown: CancellationToken,
    options: ServerOptions,
) -> Drained {
    let server = Server {
        router,
        http: http(&options),
        places: Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS))),
        connections: TaskTracker::new(),
        shutdown,
        cut: CancellationToken::new(),
    };
    server.accept(listener).await;
    server.drain(writes, Instant::now() + options.drain_deadline).await
}

fn http(options: &ServerOptions) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(options.head_max_bytes.max(HEAD_MIN_BYTES));
    http
}

struct Server {
    router: Router,
    http: http1::Builder,
    places: Arc<Semaphore>,
    connections: TaskTracker,
    /// Begins the drain.
    shutdown: CancellationToken,
    /// Ends it: connections that are left are dropped.
    cut: CancellationToken,
}

impl Server {
    /// Accepts connections until shutdown. The listener is closed on return: new clients are refused at once.
    async fn accept(&self, listener: TcpListener) {
        while let Some(accepted) = self.shutdown.run_until_cancelled(self.next_connection(&listener)).await {
            match accepted {
                Ok((stream, place)) => self.connect(stream, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(AFTER_ACCEPT_FAILED).await;
                }
            }
        }
    }

    async fn next_connection(&self, listener: &TcpListener) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        // Answers are small and written whole: waiting to fill a packet only adds latency.
        stream.set_nodelay(true)?;
        Ok((stream, place))
    }

    fn connect(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let router = self.router.clone();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            router.clone().call(request.map(Body::new))
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let (shutdown, cut) = (self.shutdown.clone(), self.cut.clone());
        self.connections.spawn(async move {
            metrics::gauge!(metric::CONNECTIONS).increment(1.0);
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => Some(ended),
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    cut.run_until_cancelled(connection).await
                }
            };
            if let Some(Err(error)) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
            metrics::gauge!(metric::CONNECTIONS).decrement(1.0);
            drop(place);
        });
    }

    async fn drain(&self, writes: &TaskTracker, deadline: Instant) -> Drained {
        self.connections.close();
        let mut connections_cut = 0;
        if timeout_at(deadline, self.connections.wait()).await.is_err() {
            connections_cut = self.connections.len();
            tracing::warn!(connections_cut, "requests were not answered before the deadline of the shutdown");
            self.cut.cancel();
            self.connections.wait().await;
        }
        // Every connection is gone, so no further write begins.
        writes.close();
        let writes_left = if timeout_at(deadline, writes.wait()).await.is_ok() { 0 } else { writes.len() };
        if writes_left > 0 {
            tracing::warn!(
                writes_left,
                "writes had not ended at the deadline of the shutdown; they will be rolled back"
            );
        }
        Drained { connections_cut, writes_left }
    }
}
