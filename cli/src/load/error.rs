//! Errors that end a load.

use super::source::SourceError;
use std::path::PathBuf;

/// An error that ends a load. A refusal does not: it is part of the account.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The server failed or was unreachable until the retry limit.
    #[error("gave up at {at} after {waited_s} s without a final answer from {url}: {reason}")]
    Unreachable {
        /// Position of the line.
        at: String,
        /// Address of the server.
        url: String,
        /// Seconds since the first attempt.
        waited_s: u64,
        /// The last error.
        reason: String,
    },
    /// The file of refused lines cannot be written.
    #[error("cannot write the refused lines to {}", file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The HTTP client cannot be created.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
}
