//! An HTTP proxy on loopback in front of a real service, which spoils the exchanges that a test chooses.
//!
//! For faults that have to hit one request, or one place of an answer. What the service was asked it has done, unless the
//! fault says that it was not asked: an answer that was lost is not a request that was refused.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
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
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

type Body = BoxBody<Bytes, std::io::Error>;
type Policy = Arc<dyn Fn(&Exchange) -> Fault + Send + Sync>;
type Change = Box<dyn FnOnce(Vec<u8>) -> Vec<u8> + Send>;

/// A request as the policy sees it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Counts from 0.
    pub number: u64,
    /// Path and query.
    pub path: String,
    /// The whole body.
    pub body: Bytes,
}

/// What becomes of an exchange.
pub enum Fault {
    /// Nothing: it is passed on.
    None,
    /// The service is not asked; this is the answer.
    Refuse(u16),
    /// The service is asked only after this long.
    Delay(Duration),
    /// The service is asked, and the connection breaks before its answer.
    Reset,
    /// The service is asked, and the connection breaks when so many thousandths of the body of its answer are through.
    Cut(usize),
    /// The service is asked, and its answer ends after so many thousandths as if it were whole.
    Shorten(usize),
    /// The service is asked, and the body of its answer is changed.
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

/// Passes requests on to a service, and spoils those that the policy names. Gone when dropped.
pub struct HttpFaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

struct Shared {
    target: SocketAddr,
    client: reqwest::Client,
    state: Mutex<State>,
}

struct State {
    policy: Policy,
    requests: u64,
}

impl HttpFaultProxy {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let client = crate::http_client().build().expect("a client");
        let state = Mutex::new(State { policy: Arc::new(|_| Fault::None), requests: 0 });
        let shared = Arc::new(Shared { target, client, state });
        let acceptor = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, acceptor }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this decides what becomes of each request.
    pub fn set(&self, policy: impl Fn(&Exchange) -> Fault + Send + Sync + 'static) {
        self.shared.state().policy = Arc::new(policy);
    }

    /// From now on everything is passed on.
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

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, path: String, body: Bytes) -> Fault {
        let (policy, number) = {
            let mut state = self.state();
            state.requests += 1;
            (Arc::clone(&state.policy), state.requests - 1)
        };
        policy(&Exchange { number, path, body })
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, which ends all connections.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // A connection that failed before it was accepted is the client's affair.
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

/// An error breaks the connection off, which is what a fault is made of and what the client then sees.
async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| exchange(Arc::clone(&shared), request));
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn exchange(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
    let broken = |what: &str| std::io::Error::other(what.to_owned());
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| broken("the client went away"))?.to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let fault = shared.judge(path.clone(), body.clone());
    match &fault {
        Fault::Refuse(status) => return Ok(refusal(*status)),
        Fault::Delay(delay) => tokio::time::sleep(*delay).await,
        _ => {}
    }
    let forwarded = shared.client.request(head.method, format!("http://{}{path}", shared.target));
    let mut headers = head.headers;
    headers.remove(hyper::header::HOST);
    headers.remove(CONTENT_LENGTH);
    let answer = forwarded.headers(headers).body(body).send().await;
    let answer = answer.map_err(|_| broken("the service did not answer"))?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.map_err(|_| broken("the service broke off"))?;
    let (body, length) = match fault {
        Fault::Reset => return Err(broken("a fault")),
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

/// The beginning of a body, and then an error. What was handed over is on its way when the next part is asked for and not
/// there at once.
fn cut(body: &Bytes, thousandths: usize) -> Body {
    let begun = Frame::data(body.slice(..at(body, thousandths)));
    let error = stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("a fault"))
    });
    BodyExt::boxed(StreamBody::new(stream::once(std::future::ready(Ok(begun))).chain(error)))
}
