//! Posts documents over some connections, each with one request at a time.

use crate::connection::Connection;
use crate::failure::Failure;
use millstream_testkit::corpus::Document;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pause of a connection that has nothing to send while others still wait for answers.
const PAUSE: Duration = Duration::from_millis(1);
/// A document that overtook the one that it refers to is sent again so many times at most.
const ATTEMPTS: usize = 1_000;

/// The measurements of a load.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) seconds: f64,
    /// Of every request.
    pub(crate) latencies_ms: Vec<f64>,
    /// Documents that overtook the one that they refer to and were sent again.
    pub(crate) repeats: usize,
}

#[derive(Debug, Default)]
struct Work {
    next: usize,
    repeat: VecDeque<(usize, usize)>,
    in_flight: usize,
    repeats: usize,
}

/// Posts all documents, in their order as far as connections that run side by side keep it.
pub(crate) async fn load(
    address: SocketAddr,
    documents: &Arc<Vec<Document>>,
    connections: usize,
) -> Result<Load, Failure> {
    let work = Arc::new(Mutex::new(Work::default()));
    let requests = Arc::new(documents.iter().map(request).collect::<Vec<Vec<u8>>>());
    let started = Instant::now();
    let tasks: Vec<_> =
        (0..connections).map(|_| tokio::spawn(post(address, Arc::clone(&requests), Arc::clone(&work)))).collect();
    let mut latencies_ms = Vec::with_capacity(documents.len());
    for task in tasks {
        latencies_ms.extend(task.await??);
    }
    let seconds = started.elapsed().as_secs_f64();
    let repeats = work.lock().unwrap_or_else(PoisonError::into_inner).repeats;
    Ok(Load { seconds, latencies_ms, repeats })
}

fn request(document: &Document) -> Vec<u8> {
    let mut request = format!(
        "POST /data/{}/{} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        document.project,
        document.resource,
        document.body().len()
    )
    .into_bytes();
    request.extend_from_slice(document.body());
    request
}

async fn post(address: SocketAddr, requests: Arc<Vec<Vec<u8>>>, work: Arc<Mutex<Work>>) -> Result<Vec<f64>, Failure> {
    let mut connection = Connection::open(address).await?;
    let mut latencies = Vec::new();
    loop {
        let Some((at, attempts)) = take(&work, requests.len()) else { return Ok(latencies) };
        let Some(at) = at else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let sent = Instant::now();
        let status = connection.request_bytes(&requests[at]).await?;
        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
        let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
        work.in_flight -= 1;
        match status {
            200 | 201 => {}
            400 | 409 | 503 if attempts < ATTEMPTS => {
                work.repeats += 1;
                work.repeat.push_back((at, attempts + 1));
            }
            _ => {
                let answer = String::from_utf8_lossy(connection.body()).into_owned();
                return Err(format!("a document was refused with status {status}: {answer}").into());
            }
        }
    }
}

/// The next document; `Some(None, …)` if one may come back; `None` at the end.
fn take(work: &Mutex<Work>, count: usize) -> Option<(Option<usize>, usize)> {
    let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = if work.next < count {
        work.next += 1;
        Some((work.next - 1, 0))
    } else {
        work.repeat.pop_front()
    };
    match taken {
        Some((at, attempts)) => {
            work.in_flight += 1;
            Some((Some(at), attempts))
        }
        None if work.in_flight > 0 => Some((None, 0)),
        None => None,
    }
}
