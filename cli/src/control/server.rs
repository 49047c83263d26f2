//! The answering side.

use super::{ANSWER_TIMEOUT, ControlError, REQUEST_MAX_BYTES, Request, ask, socket_path};
use crate::failure::Failure;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// Carries requests out.
pub type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Value, Failure>> + Send + Sync>;

/// A control socket that answers until it is closed.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Control {
    /// Binds the socket of a data folder, unless a living process has it.
    pub async fn open(data_dir: &Path, handler: Handler) -> Result<Self, ControlError> {
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
        let task = tokio::spawn(answer(listener, handler, stop.clone()));
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

async fn answer(listener: UnixListener, handler: Handler, stop: CancellationToken) {
    let mut answers = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        while answers.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let handler = Arc::clone(&handler);
                answers.spawn(async move {
                    if let Err(error) = converse(stream, &handler).await {
                        tracing::debug!(%error, "an answer was not taken");
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "the control socket could not accept"),
        }
    }
}

async fn converse(stream: UnixStream, handler: &Handler) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    let mut reading = BufReader::new(reading.take(REQUEST_MAX_BYTES));
    tokio::time::timeout(ANSWER_TIMEOUT, reading.read_line(&mut line)).await.map_err(io::Error::from).flatten()?;
    let answered = match serde_json::from_str(&line) {
        Ok(request) => {
            let mut gone = [0];
            tokio::select! {
                answered = handler(request) => answered,
                // Who asked has left: nobody wants the answer any more.
                _ = reading.read(&mut gone) => return Ok(()),
            }
        }
        Err(error) => Err(Failure::usage(format!("this Millstream does not know what it was asked: {error}"))),
    };
    let answer = answered
        .unwrap_or_else(|failure| json!({"refused": {"message": failure.to_string(), "exit": failure.exit().code()}}));
    let sending = async {
        writing.write_all(answer.to_string().as_bytes()).await?;
        writing.shutdown().await
    };
    tokio::time::timeout(ANSWER_TIMEOUT, sending).await.map_err(io::Error::from).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tell;

    fn source() -> Handler {
        Arc::new(|request| {
            let answer = match request {
                Request::Status => Ok(json!({"pid": 7})),
                other => Err(Failure::usage(format!("{other:?} is too much"))),
            };
            Box::pin(std::future::ready(answer))
        })
    }

    #[tokio::test]
    async fn a_refusal_keeps_its_words_and_its_code() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let control = Control::open(folder.path(), source()).await.expect("nobody has it");
        let refused = tell(folder.path(), &Request::SinkRemove { sink: "x".to_owned() }, ANSWER_TIMEOUT).await;
        let refused = refused.expect_err("it is refused");
        assert!(refused.to_string().ends_with("is too much"), "{refused}");
        assert_eq!(Failure::from(refused).exit(), crate::exit::Exit::Usage);
        control.close().await;
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
        drop(UnixListener::bind(socket_path(folder.path()).expect("a path")).expect("it can be bound"));
        assert!(matches!(ask(folder.path()).await, Err(ControlError::NotRunning(_))));
        let control = Control::open(folder.path(), source()).await.expect("nobody answers on the old one");
        control.close().await;
    }
}
