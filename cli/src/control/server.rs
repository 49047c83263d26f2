//! The server side of the control socket.

use super::{
    client::status,
    protocol::{Refusal, Request, Response},
    socket::{ControlError, REPLY_TIMEOUT, REQUEST_MAX_BYTES, socket_path},
};
use crate::failure::Failure;
use futures::future::BoxFuture;
use millstream_connectors::private_folder::create_private;
use serde_json::json;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

/// Handles requests.
pub type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Response, Failure>> + Send + Sync>;

/// Number of the next request of this process.
static NEXT_REQUEST_ID: AtomicU64 = AtomicU64::new(1);

/// A control socket that serves requests until it is closed.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Control {
    /// Binds the socket of a data folder.
    ///
    /// # Errors
    /// [`ControlError::Running`] when another process serves the data folder.
    pub async fn open(data_dir: &Path, handler: Handler) -> Result<Self, ControlError> {
        let path = socket_path(data_dir)?;
        match status(data_dir).await {
            Ok(status) => return Err(ControlError::Running { data_dir: data_dir.to_owned(), pid: status.pid }),
            Err(ControlError::NotRunning(_)) => {}
            Err(error) => return Err(error),
        }
        let failed = |action| {
            let path = path.clone();
            move |source| ControlError::Io { action, path, source }
        };
        if let Some(folder) = path.parent() {
            create_private(folder).map_err(failed("create the folder of"))?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove the old")(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed("listen on"))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed("protect"))?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, handler, stop.clone()).in_current_span());
        Ok(Self { path, stop, task })
    }

    /// Stops serving and removes the socket.
    pub async fn close(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the task of the control socket panicked");
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "failed to remove the control socket");
        }
    }
}

async fn serve(listener: UnixListener, handler: Handler, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let handler = Arc::clone(&handler);
                let serving = async move {
                    if let Err(error) = serve_one(stream, &handler).await {
                        tracing::debug!(%error, "failed to read a control request or to send its reply");
                    }
                };
                connections.spawn(serving.in_current_span());
            }
            Err(error) => tracing::warn!(%error, "failed to accept a control connection"),
        }
    }
}

async fn serve_one(stream: UnixStream, handler: &Handler) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    let mut reading = BufReader::new(reading.take(REQUEST_MAX_BYTES));
    tokio::time::timeout(REPLY_TIMEOUT, reading.read_line(&mut line)).await.map_err(io::Error::from).flatten()?;
    let outcome = match serde_json::from_str::<Request>(&line) {
        Ok(request) => {
            let request_id = NEXT_REQUEST_ID.fetch_add(1, Ordering::Relaxed);
            let span = info_span!("control_request", request_id, request = request.name());
            let mut gone = [0];
            tokio::select! {
                outcome = handler(request).instrument(span) => outcome,
                // The client closed the connection: the reply has no reader.
                _ = reading.read(&mut gone) => return Ok(()),
            }
        }
        Err(error) => Err(Failure::usage(format!("unknown request; use commands of this version: {error}"))),
    };
    let reply = match outcome {
        Ok(response) => serde_json::to_vec(&response)?,
        Err(failure) => {
            let refused = Refusal { message: failure.to_string(), exit: failure.exit().code() };
            serde_json::to_vec(&json!({"refused": refused}))?
        }
    };
    let sending = async {
        writing.write_all(&reply).await?;
        writing.shutdown().await
    };
    tokio::time::timeout(REPLY_TIMEOUT, sending).await.map_err(io::Error::from).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{
        client::call,
        protocol::{ProcessPhase, SinkRemoved, StatusReport},
    };

    fn starting() -> StatusReport {
        StatusReport { pid: 7, version: "1.2.3".to_owned(), state: ProcessPhase::StartingOrStopping, running: None }
    }

    fn source() -> Handler {
        Arc::new(|request| {
            let reply = match request {
                Request::Status => Ok(Response::Status(Box::new(starting()))),
                other => Err(Failure::usage(format!("{other:?} is too much"))),
            };
            Box::pin(std::future::ready(reply))
        })
    }

    /// Binds the socket as a process does.
    fn bind(data_dir: &Path) -> UnixListener {
        let path = socket_path(data_dir).expect("a path");
        create_private(path.parent().expect("a folder")).expect("it can be made");
        UnixListener::bind(path).expect("it can be bound")
    }

    #[tokio::test]
    async fn only_the_user_of_the_process_reaches_the_socket() {
        let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let run = folder.path().join("run");
        fs::create_dir(&run).expect("it can be made");
        fs::set_permissions(&run, Permissions::from_mode(0o777)).expect("it is ours");
        let control = Control::open(folder.path(), source()).await.expect("the folder is free");
        assert_eq!((mode(&run), mode(&run.join("millstream.sock"))), (0o700, 0o600));
        control.close().await;
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_words_and_its_code() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let control = Control::open(folder.path(), source()).await.expect("the folder is free");
        let request = Request::SinkRemove { sink: "x".to_owned() };
        let refused = call::<SinkRemoved>(folder.path(), &request, REPLY_TIMEOUT).await.expect_err("it is refused");
        assert!(refused.to_string().ends_with("is too much"), "{refused}");
        assert_eq!(Failure::from(refused).exit(), crate::exit::Exit::Usage);
        control.close().await;
    }

    #[tokio::test]
    async fn a_status_is_answered_and_a_second_process_refused() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        assert!(matches!(status(folder.path()).await, Err(ControlError::NotRunning(_))));
        let control = Control::open(folder.path(), source()).await.expect("the folder is free");
        assert_eq!(status(folder.path()).await.expect("it runs"), starting());
        assert!(matches!(Control::open(folder.path(), source()).await, Err(ControlError::Running { pid: 7, .. })));
        control.close().await;
        assert!(matches!(status(folder.path()).await, Err(ControlError::NotRunning(_))));
    }

    #[tokio::test]
    async fn a_reply_that_lacks_a_member_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let handler: Handler = Arc::new(|_| {
            let other = Response::SinkRemoved(SinkRemoved { removed: Vec::new() });
            Box::pin(std::future::ready(Ok(other)))
        });
        let listener = bind(folder.path());
        let serving = tokio::spawn(serve(listener, handler, CancellationToken::new()));
        let refused = status(folder.path()).await.expect_err("it is not a status");
        assert!(matches!(refused, ControlError::UnknownReply { .. }), "{refused:?}");
        serving.abort();
    }

    #[tokio::test]
    async fn a_socket_left_by_a_killed_process_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        drop(bind(folder.path()));
        assert!(matches!(status(folder.path()).await, Err(ControlError::NotRunning(_))));
        let control = Control::open(folder.path(), source()).await.expect("nothing answers on the old socket");
        control.close().await;
    }
}
