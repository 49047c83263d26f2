//! How the commands of one data folder find and ask the process that runs there: a Unix socket of mode 0600 in that
//! folder. Whoever connects sends one [`Request`] as a line of JSON and is sent one answer, and that is all.
//!
//! A killed process leaves the file behind; nobody answers on it, so the next start replaces it.

mod client;
mod request;
mod server;

pub use client::{ask, tell};
pub use request::{IndexAction, Place, Request, Target};
pub use server::{Control, Handler};

use crate::failure::Failure;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// The socket's name in the data folder.
const NAME: &str = "millstream.sock";
/// Longest path of a Unix socket.
const PATH_MAX_BYTES: usize = 107;
/// An answer larger than this is none of ours.
const ANSWER_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A request larger than this is none of ours.
const REQUEST_MAX_BYTES: u64 = 1024 * 1024;
/// How long the status may take, and each way of the rest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// The process said no.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
        /// The code that the command is to end with.
        exit: u8,
    },
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
            ControlError::Refused { ref message, exit } => Self::told(message.clone(), exit),
            ControlError::Running { .. } | ControlError::Io { .. } => Self::failed(error),
        }
    }
}

fn socket_path(data_dir: &Path) -> Result<PathBuf, ControlError> {
    let path = data_dir.join(NAME);
    if path.as_os_str().len() > PATH_MAX_BYTES { Err(ControlError::PathTooLong(path)) } else { Ok(path) }
}
