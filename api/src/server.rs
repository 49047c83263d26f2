//! The server: accepts connections and drains requests and writes at shutdown.

use crate::client_stream::{ClientStream, WritePace};
use crate::connections::{Connections, OpenConnection};
use crate::metrics as names;
use crate::options::{PublicUrl, ServerOptions};
use crate::routes::{router, status_router};
use crate::state::{Api, StatusParts};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// Smallest buffer that hyper accepts.
const HEAD_MIN_BYTES: usize = 8 * 1024;

/// Pause after a failed accept, as when the process is out of file descriptors.
const AFTER_ACCEPT_FAILED: Duration = Duration::from_millis(100);

/// The result of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// Connections closed at the deadline.
    pub connections_cut: usize,
    /// Writes in progress at the deadline. They end with the runtime, and PostgreSQL rolls them back.
    pub writes_left: usize,
}

impl Drained {
    /// Whether every request and write ended in time.
    pub fn is_complete(&self) -> bool {
        self.connections_cut == 0 && self.writes_left == 0
    }
}

/// Serves until `shutdown` is cancelled. Then stops accepting, waits for requests in progress and for all writes, and
/// returns at [`ServerOptions::drain_deadline`] at the latest.
///
/// The caller decides who can reach the listener.
pub async fn serve(listener: TcpListener, api: Api, shutdown: CancellationToken, options: ServerOptions) -> Drained {
    run(listener, router(api.clone()), &api.0.writes, shutdown, options).await
}

/// Like [`serve`], with health and metrics only. `public_url` is the address that clients use besides loopback names.
pub async fn serve_status(
    listener: TcpListener,
    parts: StatusParts,
    public_url: Option<PublicUrl>,
    shutdown: CancellationToken,
    options: ServerOptions,
) -> Drained {
    run(listener, status_router(parts, public_url), &TaskTracker::new(), shutdown, options).await
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
        pace: WritePace { lag_max: options.write_timeout, rate_min: options.write_rate_min },
        connections: Connections::new(options.connections_max),
        tasks: TaskTracker::new(),
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
    pace: WritePace,
    connections: Arc<Connections>,
    /// One task per connection.
    tasks: TaskTracker,
    /// Begins the drain.
    shutdown: CancellationToken,
    /// Ends it: drops the remaining connections.
    cut: CancellationToken,
}

impl Server {
    /// Accepts connections until shutdown, then closes the listener, so that new clients are refused at once.
    async fn accept(&self, listener: TcpListener) {
        while let Some(accepted) = self.shutdown.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((socket, _)) => {
                    let Some(open) = self.shutdown.run_until_cancelled(self.connections.add()).await else { return };
                    self.connect(socket, open);
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    sleep(AFTER_ACCEPT_FAILED).await;
                }
            }
        }
    }

    fn connect(&self, socket: TcpStream, open: OpenConnection) {
        let connection = Arc::clone(open.connection());
        let stream = match ClientStream::new(socket, Arc::clone(&connection), self.pace) {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%error, "a connection ended before it was served"),
        };
        let (router, open) = (self.router.clone(), Arc::new(open));
        let handled = Arc::clone(&open);
        let service = service_fn(move |request| handle(router.clone(), Arc::clone(&handled), request));
        let serving = self.http.serve_connection(TokioIo::new(stream), service);
        let (shutdown, cut) = (self.shutdown.clone(), self.cut.clone());
        self.tasks.spawn(async move {
            metrics::gauge!(names::CONNECTIONS).increment(1.0);
            let mut serving = pin!(serving);
            let ended = tokio::select! {
                ended = serving.as_mut() => Some(ended),
                () = async { tokio::select! { () = shutdown.cancelled() => {}, () = connection.room_needed() => {} } } => {
                    serving.as_mut().graceful_shutdown();
                    // hyper goes on waiting for the rest of an incomplete head.
                    if connection.is_waiting() { None } else { cut.run_until_cancelled(serving).await }
                }
            };
            if let Some(Err(error)) = ended {
                tracing::debug!(%error, "connection ended early");
            }
            metrics::gauge!(names::CONNECTIONS).decrement(1.0);
            drop(open);
        });
    }

    async fn drain(&self, writes: &TaskTracker, deadline: Instant) -> Drained {
        self.tasks.close();
        let mut connections_cut = 0;
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            connections_cut = self.tasks.len();
            tracing::warn!(
                connections_cut,
                "closed connections whose requests did not finish before the shutdown deadline"
            );
            self.cut.cancel();
            self.tasks.wait().await;
        }
        // Every connection is closed, so no further write begins.
        writes.close();
        let writes_left = if timeout_at(deadline, writes.wait()).await.is_ok() { 0 } else { writes.len() };
        if writes_left > 0 {
            tracing::warn!(
                writes_left,
                "writes still in progress at the shutdown deadline; PostgreSQL rolls them back"
            );
        }
        Drained { connections_cut, writes_left }
    }
}

/// Runs one request of a connection.
async fn handle(
    mut router: Router,
    open: Arc<OpenConnection>,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<Response, Infallible> {
    let response = match open.begin(request.uri().path()) {
        Ok(()) => router.call(request.map(Body::new)).await?,
        Err(problem) => problem.into_response(),
    };
    open.connection().responding();
    Ok(response)
}
