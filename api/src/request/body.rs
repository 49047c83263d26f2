//! Reads a body within a size and a time.

use crate::media::check_media_type;
use crate::options::ApiOptions;
use crate::problem::{Problem, ProblemKind};
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes beyond the limit that are read and discarded. A client that is still sending does not read the response, and
/// closing its connection may lose the response.
const DISCARDED_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Time that discarding may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the body of a request that carries a document.
pub(crate) async fn read_body(headers: &HeaderMap, mut body: Body, options: &ApiOptions) -> Result<Bytes, Problem> {
    check_media_type(headers)?;
    let too_large = |options: &ApiOptions| {
        let detail = format!("The body is larger than {} bytes, the most that is accepted.", options.body_max_bytes);
        Problem::new(ProblemKind::ContentTooLarge, detail).closing()
    };
    if body.size_hint().lower() > options.body_max_bytes as u64 {
        // A client that waits for 100 Continue has not begun to send.
        if !headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return Err(too_large(options));
    }
    let whole = Limited::new(&mut body, options.body_max_bytes).collect();
    match timeout(options.body_timeout, whole).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(body).await;
            Err(too_large(options))
        }
        Ok(Err(error)) => {
            let detail = "The body could not be read: it ended early, or its framing is wrong.";
            Err(Problem::new(ProblemKind::BadRequest, detail).because(error.to_string()).closing())
        }
        Err(_) => {
            let detail = format!("The body did not arrive within {} s.", options.body_timeout.as_secs_f32());
            Err(Problem::new(ProblemKind::RequestTimeout, detail).closing())
        }
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
