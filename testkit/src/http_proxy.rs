//! An HTTP proxy on loopback in front of a real service, which injects faults into the exchanges that a test chooses.
//!
//! For faults that have to hit one request, or one part of a response. The service carries out every request that the
//! proxy forwards: a lost response is not a refused request.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

type Body = BoxBody<Bytes, std::io::Error>;
type Policy = Arc<dyn Fn(&Exchange) -> Fault + Send + Sync>;
type Change = Box<dyn FnOnce(Vec<u8>) -> Vec<u8> + Send>;

/// A request, as the policy receives it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Counts from 0.
    pub number: u64,
    /// Path and query.
    pub path: String,
    /// The complete body.
    pub body: Bytes,
}

/// The fault to inject into an exchange.
pub enum Fault {
    /// No fault: the request is forwarded.
    None,
    /// The request is not forwarded; the response has this status.
    Refuse(u16),
    /// The request is forwarded after this delay.
    Delay(Duration),
    /// The request is forwarded, and the connection breaks before the response.
    Reset,
    /// The request is forwarded, and the connection breaks after this many thousandths of the response body.
    Cut(usize),
    /// The request is forwarded, and the response is truncated after this many thousandths of its body, as if complete.
    Shorten(usize),
    /// The request is forwarded, and the response body is changed.
    Rewrite(Change),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Refuse(_) => "Refuse",
            Self::Delay(_) => "Delay",
            Self::Reset => "Reset",
            Self::Cut(_) => "Cut",
            Self::Shorten(_) => "Shorten",
            Self::Rewrite(_) => "Rewrite",
        })
    }
}

/// Forwards requests to a service and injects the faults that the policy chooses. Dropping it ends the proxy.
pub struct HttpFaultProxy {
    address: SocketAddr,
    upstream: Arc<Upstream>,
    acceptor: JoinHandle<()>,
}

/// The service behind the proxy, and the policy.
struct Upstream {
    target: SocketAddr,
    client: reqwest::Client,
    policy: Mutex<Policy>,
    requests: AtomicU64,
}

impl HttpFaultProxy {
    /// Listens on a free port of 127.0.0.1 and forwards everything to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let client = crate::http_client().build().expect("a client");
        let policy: Mutex<Policy> = Mutex::new(Arc::new(|_: &Exchange| Fault::None));
        let upstream = Arc::new(Upstream { target, client, policy, requests: AtomicU64::new(0) });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&upstream)));
        Self { address, upstream, acceptor }
    }

    /// Returns `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the policy for later requests.
    pub fn set(&self, policy: impl Fn(&Exchange) -> Fault + Send + Sync + 'static) {
        *self.upstream.policy.lock() = Arc::new(policy);
    }

    /// Forwards later requests without faults.
    pub fn restore(&self) {
        self.set(|_| Fault::None);
    }
}

impl fmt::Debug for HttpFaultProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFaultProxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for HttpFaultProxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl Upstream {
    fn fault_of(&self, path: String, body: Bytes) -> Fault {
        let policy = Arc::clone(&self.policy.lock());
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        policy(&Exchange { number, path, body })
    }
}

async fn accept(listener: TcpListener, upstream: Arc<Upstream>) {
    // Dropped with this task, which ends all connections.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // The client sees a connection that fails before it is accepted.
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(serve(stream, Arc::clone(&upstream)));
    }
}

/// Serves one connection. An error closes it, which is how faults reach the client.
async fn serve(stream: TcpStream, upstream: Arc<Upstream>) {
    let service = service_fn(move |request| exchange(Arc::clone(&upstream), request));
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn exchange(upstream: Arc<Upstream>, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
    let broken = |reason: &str| std::io::Error::other(reason.to_owned());
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| broken("the client disconnected"))?.to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let fault = upstream.fault_of(path.clone(), body.clone());
    match &fault {
        Fault::Refuse(status) => return Ok(refusal(*status)),
        Fault::Delay(delay) => tokio::time::sleep(*delay).await,
        _ => {}
    }
    let forwarded = upstream.client.request(head.method, format!("http://{}{path}", upstream.target));
    let mut headers = head.headers;
    headers.remove(hyper::header::HOST);
    headers.remove(CONTENT_LENGTH);
    let received = forwarded.headers(headers).body(body).send().await;
    let received = received.map_err(|_| broken("the service did not respond"))?;
    let (status, headers) = (received.status(), received.headers().clone());
    let body = received.bytes().await.map_err(|_| broken("the service closed the connection"))?;
    let (body, length) = match fault {
        Fault::Reset => return Err(broken("an injected fault")),
        Fault::Cut(thousandths) => (cut(&body, thousandths), body.len()),
        Fault::Shorten(thousandths) => whole(body.slice(..at(&body, thousandths))),
        Fault::Rewrite(change) => whole(change(body.to_vec()).into()),
        Fault::None | Fault::Refuse(_) | Fault::Delay(_) => whole(body),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    Ok(response)
}

fn refusal(status: u16) -> Response<Body> {
    let reason = format!(r#"{{"error":{{"type":"fault","reason":"a fault of the test"}},"status":{status}}}"#);
    let (body, _) = whole(reason.into());
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    response
}

fn at(body: &Bytes, thousandths: usize) -> usize {
    body.len() * thousandths / 1_000
}

fn whole(bytes: Bytes) -> (Body, usize) {
    let length = bytes.len();
    (Full::new(bytes).map_err(|never: Infallible| match never {}).boxed(), length)
}

/// Returns the beginning of a body, then an error. The pause before the error lets the beginning be sent.
fn cut(body: &Bytes, thousandths: usize) -> Body {
    let begun = Frame::data(body.slice(..at(body, thousandths)));
    let error = stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("a fault"))
    });
    BodyExt::boxed(StreamBody::new(stream::once(std::future::ready(Ok(begun))).chain(error)))
}
