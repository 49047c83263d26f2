//! Reads a body within a size, at a rate, and within the memory of all bodies.

use crate::media::check_media_type;
use crate::metrics as names;
use crate::options::ApiOptions;
use crate::problem::{Problem, ProblemKind};
use crate::state::ApiState;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use millstream_pipeline::memory::MemoryReservation;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Bytes beyond the limit that are read and discarded. A client that is still sending does not read the response, and
/// closing its connection may lose the response.
const DISCARDED_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Time that discarding may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// A body, and its share of the memory for large bodies, to be held as long as the bytes are in use.
pub(crate) struct ReceivedBody {
    pub(crate) bytes: Bytes,
    pub(crate) memory: Option<MemoryReservation>,
}

/// Reads the body of a request that carries a document.
pub(crate) async fn read_body(api: &ApiState, headers: &HeaderMap, mut body: Body) -> Result<ReceivedBody, Problem> {
    check_media_type(headers)?;
    let announced = body.size_hint().lower();
    if announced > api.options.body_max_bytes as u64 {
        // A client that waits for 100 Continue has not begun to send.
        if !headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return Err(too_large(&api.options));
    }
    let deadline = Instant::now() + api.options.body_timeout;
    let mut reader = BodyReader { api, received: Vec::new(), memory: None, deadline };
    if announced > ApiOptions::SMALL_BODY_MAX_BYTES as u64 {
        reader.reserve(announced as usize).await?;
    }
    match reader.read(&mut body).await {
        Ok(()) => Ok(ReceivedBody { bytes: reader.received.into(), memory: reader.memory }),
        Err(problem) => {
            if problem.kind() == ProblemKind::ContentTooLarge {
                discard(body).await;
            }
            Err(problem)
        }
    }
}

fn too_large(options: &ApiOptions) -> Problem {
    let detail = format!("The body is larger than {} bytes, the most that is accepted.", options.body_max_bytes);
    Problem::new(ProblemKind::ContentTooLarge, detail).closing()
}

/// A body that is arriving.
struct BodyReader<'a> {
    api: &'a ApiState,
    received: Vec<u8>,
    memory: Option<MemoryReservation>,
    /// Moves on with every byte, at the slowest rate that is accepted.
    deadline: Instant,
}

impl BodyReader<'_> {
    async fn read(&mut self, body: &mut Body) -> Result<(), Problem> {
        let options = &self.api.options;
        loop {
            match timeout_at(self.deadline, body.frame()).await {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        self.append(data).await?;
                    }
                }
                Ok(Some(Err(error))) => {
                    let detail = "The body could not be read: it ended early, or its framing is wrong.";
                    return Err(Problem::new(ProblemKind::BadRequest, detail).because(error.to_string()).closing());
                }
                Err(_) => {
                    let detail = format!(
                        "The body arrived too slowly: at least {} bytes per second are expected, or {} s less.",
                        options.body_rate_min,
                        options.body_timeout.as_secs_f32()
                    );
                    return Err(Problem::new(ProblemKind::RequestTimeout, detail).closing());
                }
            }
        }
    }

    async fn append(&mut self, data: &[u8]) -> Result<(), Problem> {
        let options = &self.api.options;
        let length = self.received.len() + data.len();
        if length > options.body_max_bytes {
            return Err(too_large(options));
        }
        if length > ApiOptions::SMALL_BODY_MAX_BYTES && self.memory.is_none() {
            // Its length was not announced.
            self.reserve(options.body_max_bytes).await?;
        }
        self.received.extend_from_slice(data);
        let earned = Duration::from_secs_f64(data.len() as f64 / f64::from(options.body_rate_min.max(1)));
        self.deadline = (self.deadline + earned).min(Instant::now() + options.body_timeout);
        Ok(())
    }

    /// Waits for the memory of a large body. The client's bytes stay in the kernel meanwhile.
    async fn reserve(&mut self, bytes: usize) -> Result<(), Problem> {
        let wait = timeout(self.api.options.body_timeout, self.api.body_memory.reserve(bytes));
        let Ok(Ok(memory)) = wait.await else {
            metrics::counter!(names::TURNED_AWAY).increment(1);
            return Err(Problem::unavailable("The server is at its limit of large bodies. Try again.").closing());
        };
        // In one piece: growing by doubling would take up to twice as much as is reserved.
        self.received.reserve_exact(bytes.saturating_sub(self.received.len()));
        self.memory = Some(memory);
        self.deadline = Instant::now() + self.api.options.body_timeout;
        Ok(())
    }
}

async fn discard(mut body: Body) {
    let reading = async {
        let mut left = DISCARDED_MAX_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    if timeout(DISCARD_TIMEOUT, reading).await.is_err() {
        tracing::debug!("a client kept sending a body that is too large");
    }
}
