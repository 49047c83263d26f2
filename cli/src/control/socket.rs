//! The socket file, its limits and its errors.

use crate::failure::Failure;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Folder of the socket in the data folder. Only the user of the process may enter it, so the socket is protected from its
/// creation on.
const FOLDER: &str = "run";
/// The socket's name in that folder.
const NAME: &str = "millstream.sock";
/// Longest path of a Unix socket.
const PATH_MAX_BYTES: usize = 107;
/// Largest reply.
pub(super) const REPLY_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Largest request.
pub(super) const REQUEST_MAX_BYTES: u64 = 1024 * 1024;
/// Longest wait for a status, for a request to arrive, and for a reply to be taken.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Errors of the control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The path is too long for the operating system.
    #[error("{} is longer than the {PATH_MAX_BYTES} bytes that a socket's path may have: choose a shorter data_dir", .0.display())]
    PathTooLong(PathBuf),
    /// Another process already serves the data folder.
    #[error("a Millstream runs on {} already (process {pid}): stop it first, or choose another data_dir", data_dir.display())]
    Running {
        /// The data folder.
        data_dir: PathBuf,
        /// Its process id.
        pid: u32,
    },
    /// No process serves the data folder.
    #[error("no Millstream runs on {}: start one with `millstream up`, or name the right --data-dir", .0.display())]
    NotRunning(PathBuf),
    /// The process refused the request or failed to serve it.
    #[error("{message}")]
    Refused {
        /// The error of the process, with its causes.
        message: String,
        /// The exit code for the command.
        exit: u8,
    },
    /// The reply is not the one that belongs to the request.
    #[error("the Millstream that runs on {} sent a reply that this version cannot read: use commands of its version", data_dir.display())]
    UnknownReply {
        /// The data folder.
        data_dir: PathBuf,
        /// The parse error.
        source: serde_json::Error,
    },
    /// An operation on the socket failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The socket.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotRunning(_) => Self::not_running(error),
            ControlError::PathTooLong(_) => Self::usage(error),
            ControlError::Refused { ref message, exit } => Self::refused(message.clone(), exit),
            ControlError::Running { .. } | ControlError::UnknownReply { .. } | ControlError::Io { .. } => {
                Self::failed(error)
            }
        }
    }
}

/// Returns the path of the socket of a data folder.
pub(super) fn socket_path(data_dir: &Path) -> Result<PathBuf, ControlError> {
    let path = data_dir.join(FOLDER).join(NAME);
    if path.as_os_str().len() > PATH_MAX_BYTES { Err(ControlError::PathTooLong(path)) } else { Ok(path) }
}
