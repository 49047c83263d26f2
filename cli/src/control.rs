//! How the commands of one data folder find and ask the process that runs there: a Unix socket of mode 0600 in that
//! folder. Whoever connects is sent the status as JSON, and that is all.
//!
//! A killed process leaves the file behind; nobody answers on it, so the next start replaces it.

use crate::failure::Failure;
use futures::future::BoxFuture;
use serde_json::Value;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// The socket's name in the data folder.
const NAME: &str = "millstream.sock";
/// Longest path of a Unix socket.
const PATH_MAX_BYTES: usize = 107;
/// A status larger than this is none of ours.
const STATUS_MAX_BYTES: u64 = 1024 * 1024;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells the status, asked now.
pub type StatusSource = Arc<dyn Fn() -> BoxFuture<'static, Value> + Send + Sync>;

/// Why the control socket does not work.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The path is too long for the operating system.
    #[error("{} is longer than the {PATH_MAX_BYTES} bytes that a socket's path may have: choose a shorter data_dir", .0.display())]
    PathTooLong(PathBuf),
    /// A process answers there already.
    #[error("a Millstream runs on {} already (process {pid}): stop it first, or choose another data_dir", data_dir.display())]
    Running {
        /// The data folder.
        data_dir: PathBuf,
        /// Its process id.
        pid: u64,
    },
    /// Nobody answers.
    #[error("no Millstream runs on {}: start one with `millstream up`, or name the right --data-dir", .0.display())]
    NotRunning(PathBuf),
    /// The socket cannot be worked with.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotRunning(_) => Self::not_running(error),
            ControlError::PathTooLong(_) => Self::usage(error),
            ControlError::Running { .. } | ControlError::Io { .. } => Self::failed(error),
        }
    }
}

fn socket_path(data_dir: &Path) -> Result<PathBuf, ControlError> {
    let path = data_dir.join(NAME);
    if path.as_os_str().len() > PATH_MAX_BYTES { Err(ControlError::PathTooLong(path)) } else { Ok(path) }
}

/// The status of the process that runs on a data folder.
pub async fn ask(data_dir: &Path) -> Result<Value, ControlError> {
    let path = socket_path(data_dir)?;
    let nobody = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
    let failed = |source| ControlError::Io { action: "read the status from", path: path.clone(), source };
    let stream = match UnixStream::connect(&path).await {
        Err(error) if nobody(&error) => return Err(ControlError::NotRunning(data_dir.to_owned())),
        connected => connected.map_err(failed)?,
    };
    let mut text = Vec::new();
    let mut limited = stream.take(STATUS_MAX_BYTES);
    let read = tokio::time::timeout(ANSWER_TIMEOUT, limited.read_to_end(&mut text)).await;
    read.map_err(io::Error::from).flatten().map_err(failed)?;
    // A process that is killed while it answers closes the socket: it does not run any more.
    if text.is_empty() {
        return Err(ControlError::NotRunning(data_dir.to_owned()));
    }
    serde_json::from_slice(&text).map_err(|error| failed(error.into()))
}

/// A control socket that answers until it is closed.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Control {
    /// Binds the socket of a data folder, unless a living process has it.
    pub async fn open(data_dir: &Path, status: StatusSource) -> Result<Self, ControlError> {
        let path = socket_path(data_dir)?;
        match ask(data_dir).await {
            Ok(status) => {
                let pid = status.get("pid").and_then(Value::as_u64).unwrap_or_default();
                return Err(ControlError::Running { data_dir: data_dir.to_owned(), pid });
            }
            Err(ControlError::NotRunning(_)) => {}
            Err(error) => return Err(error),
        }
        let failed = |action| {
            let path = path.clone();
            move |source| ControlError::Io { action, path, source }
        };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove the old")(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed("listen on"))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed("protect"))?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(answer(listener, status, stop.clone()));
        Ok(Self { path, stop, task })
    }

    /// Stops answering and removes the socket.
    pub async fn close(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the control socket ended badly");
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the control socket could not be removed");
        }
    }
}

async fn answer(listener: UnixListener, status: StatusSource, stop: CancellationToken) {
    let mut answers = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        while answers.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let status = Arc::clone(&status);
                answers.spawn(async move {
                    let text = status().await.to_string();
                    if let Err(error) = send(stream, text.as_bytes()).await {
                        tracing::debug!(%error, "a status was not taken");
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "the control socket could not accept"),
        }
    }
}

async fn send(mut stream: UnixStream, text: &[u8]) -> io::Result<()> {
    let sending = async {
        stream.write_all(text).await?;
        stream.shutdown().await
    };
    tokio::time::timeout(ANSWER_TIMEOUT, sending).await.map_err(io::Error::from).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source() -> StatusSource {
        Arc::new(|| Box::pin(std::future::ready(json!({"pid": 7}))))
    }

    #[tokio::test]
    async fn a_status_is_answered_and_a_second_process_refused() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        assert!(matches!(ask(folder.path()).await, Err(ControlError::NotRunning(_))));
        let control = Control::open(folder.path(), source()).await.expect("nobody has it");
        assert_eq!(ask(folder.path()).await.expect("it runs"), json!({"pid": 7}));
        assert!(matches!(Control::open(folder.path(), source()).await, Err(ControlError::Running { pid: 7, .. })));
        control.close().await;
        assert!(matches!(ask(folder.path()).await, Err(ControlError::NotRunning(_))));
    }

    #[tokio::test]
    async fn a_socket_left_by_a_killed_process_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        drop(UnixListener::bind(folder.path().join(NAME)).expect("it can be bound"));
        assert!(matches!(ask(folder.path()).await, Err(ControlError::NotRunning(_))));
        let control = Control::open(folder.path(), source()).await.expect("nobody answers on the old one");
        control.close().await;
    }
}
