//! The client side of the control socket.

use super::{
    protocol::{Refusal, Reply, Request, Response, StatusReport},
    socket::{ControlError, REPLY_MAX_BYTES, REPLY_TIMEOUT, socket_path},
};
use serde::{Deserialize, de::Error as _};
use std::{io, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// Returns the status of the process that serves a data folder.
///
/// # Errors
/// [`ControlError::NotRunning`] when no process serves it.
pub async fn status(data_dir: &Path) -> Result<StatusReport, ControlError> {
    let report: Box<StatusReport> = call(data_dir, &Request::Status, REPLY_TIMEOUT).await?;
    Ok(*report)
}

/// Sends a request to the process that serves a data folder and returns its reply.
///
/// # Errors
/// [`ControlError::NotRunning`] when no process serves it, [`ControlError::Refused`] when the process refuses the request.
pub async fn call<T: Reply>(data_dir: &Path, request: &Request, timeout: Duration) -> Result<T, ControlError> {
    let text = exchange(data_dir, request, timeout).await?;
    let unknown = |source| ControlError::UnknownReply { data_dir: data_dir.to_owned(), source };
    if let Some(Refusal { message, exit }) = refusal(&text) {
        return Err(ControlError::Refused { message, exit });
    }
    let response = Response::decode(request, &text).map_err(unknown)?;
    T::from_response(response).ok_or_else(|| unknown(serde_json::Error::custom("it belongs to another request")))
}

fn refusal(text: &[u8]) -> Option<Refusal> {
    #[derive(Deserialize)]
    struct Refused {
        refused: Refusal,
    }
    serde_json::from_slice::<Refused>(text).ok().map(|reply| reply.refused)
}

/// Sends a request and reads the reply to its end.
async fn exchange(data_dir: &Path, request: &Request, timeout: Duration) -> Result<Vec<u8>, ControlError> {
    let path = socket_path(data_dir)?;
    let failed = |source| ControlError::Io { action: "reach the Millstream behind", path: path.clone(), source };
    let mut stream = match UnixStream::connect(&path).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(ControlError::NotRunning(data_dir.to_owned()));
        }
        connected => connected.map_err(failed)?,
    };
    let mut line = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut text = Vec::new();
    let exchange = async {
        stream.write_all(&line).await?;
        stream.take(REPLY_MAX_BYTES).read_to_end(&mut text).await
    };
    match tokio::time::timeout(timeout, exchange).await.map_err(io::Error::from).flatten() {
        // A process that is killed while it replies closes the socket: it no longer runs.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
            Err(ControlError::NotRunning(data_dir.to_owned()))
        }
        Ok(_) if text.is_empty() => Err(ControlError::NotRunning(data_dir.to_owned())),
        Ok(_) => Ok(text),
        Err(error) => Err(failed(error)),
    }
}
