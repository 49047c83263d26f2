//! The asking side.

use super::{ANSWER_MAX_BYTES, ANSWER_TIMEOUT, ControlError, Request, socket_path};
use serde_json::Value;
use std::{io, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// The status of the process that runs on a data folder.
pub async fn ask(data_dir: &Path) -> Result<Value, ControlError> {
    tell(data_dir, &Request::Status, ANSWER_TIMEOUT).await
}

/// Has a request carried out by the process that runs on a data folder.
pub async fn tell(data_dir: &Path, request: &Request, timeout: Duration) -> Result<Value, ControlError> {
    let path = socket_path(data_dir)?;
    let nobody = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
    let failed = |source| ControlError::Io { action: "ask the Millstream behind", path: path.clone(), source };
    let mut stream = match UnixStream::connect(&path).await {
        Err(error) if nobody(&error) => return Err(ControlError::NotRunning(data_dir.to_owned())),
        connected => connected.map_err(failed)?,
    };
    let mut line = serde_json::to_vec(request).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut text = Vec::new();
    let asking = async {
        stream.write_all(&line).await?;
        stream.take(ANSWER_MAX_BYTES).read_to_end(&mut text).await
    };
    let asked = tokio::time::timeout(timeout, asking).await.map_err(io::Error::from).flatten();
    match asked {
        // A process that is killed while it answers closes the socket: it does not run any more.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
            return Err(ControlError::NotRunning(data_dir.to_owned()));
        }
        Ok(_) if text.is_empty() => return Err(ControlError::NotRunning(data_dir.to_owned())),
        asked => drop(asked.map_err(failed)?),
    }
    let answer: Value = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
    match answer.get("refused") {
        Some(refused) => Err(ControlError::Refused {
            message: refused.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
            exit: refused.get("exit").and_then(Value::as_u64).and_then(|exit| exit.try_into().ok()).unwrap_or(1),
        }),
        None => Ok(answer),
    }
}
