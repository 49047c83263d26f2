//! Failures of commands, with the exit code of the process.

use crate::exit::Exit;
use millstream_pipeline::error::chain;
use std::{error::Error, fmt};

/// The result of a command.
pub type Outcome = Result<Exit, Failure>;

/// An error with the exit code that it leads to. It is printed once, with its causes.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// An operation failed: exit code 1.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Failed, error: error.into() }
    }

    /// The command line or the configuration is wrong: exit code 2.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    /// The running process refused a request, with the exit code that it chose.
    pub fn refused(message: String, code: u8) -> Self {
        let exit = Exit::ALL.into_iter().find(|exit| exit.code() == code).unwrap_or(Exit::Failed);
        Self { exit, error: message.into() }
    }

    /// No process runs on the data folder: exit code 4.
    pub fn not_running(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::NotRunning, error: error.into() }
    }

    /// The exit code of the process.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// The error and its causes, separated by colons.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&*self.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the load stopped")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_printed_once() {
        let failure = Failure::failed(Outer(std::io::Error::other("the disk is full")));
        assert_eq!(failure.to_string(), "the load stopped: the disk is full");
        assert_eq!(failure.exit(), Exit::Failed);
    }
}
