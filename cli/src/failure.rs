//! Why a command failed, and with which code the process ends because of it.

use crate::exit::Exit;
use std::{error::Error, fmt};

/// A failure of a command: where errors end. It is printed once, with its causes.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// It was tried and did not work.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Failed, error: error.into() }
    }

    /// What was asked for cannot be asked for.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    /// What a running Millstream said, with the code that it chose.
    pub fn told(message: String, code: u8) -> Self {
        let exit = Exit::ALL.into_iter().find(|exit| exit.code() == code).unwrap_or(Exit::Failed);
        Self { exit, error: message.into() }
    }

    /// There is no running Millstream to ask.
    pub fn not_running(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::NotRunning, error: error.into() }
    }

    /// The code that the process ends with.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// The error and everything that caused it, on one line where they fit on one.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.error.to_string();
        f.write_str(&last)?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat their cause in their own text.
            if !last.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
            cause = error.source();
        }
        Ok(())
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
