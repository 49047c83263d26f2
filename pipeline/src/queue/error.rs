//! Errors of a queue, and the limits that they name.

use std::path::PathBuf;

/// Maximum length of a lane's name and of a note's key.
pub(super) const NAME_BYTES_MAX: usize = 40;

/// Maximum length of a note.
pub const NOTE_BYTES_MAX: usize = 4_096;

/// Why a queue could not carry out a call.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Another process, or another handle in this one, has the queue open.
    #[error("the queue in {} is in use by another process: stop it, or use another data directory", path.display())]
    InUse {
        /// The queue's directory.
        path: PathBuf,
    },
    /// The directory holds something that this version cannot read. It is left untouched.
    #[error("the queue in {} cannot be opened: {detail}", path.display())]
    Format {
        /// The queue's directory.
        path: PathBuf,
        /// The content found, the content expected, and the remedy.
        detail: String,
    },
    /// The file system returned an error.
    #[error("the queue in {} cannot be opened", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The storage engine failed. After a failed write the queue accepts nothing more: open it again, which restores
    /// the durable content.
    #[error("the queue's store failed while {action}: {detail}")]
    Storage {
        /// The operation, such as `reading a lane`.
        action: &'static str,
        /// The engine's error.
        detail: String,
    },
    /// A record cannot be decoded.
    #[error(
        "the queue holds a record that cannot be decoded: {0}; its disk is damaged: start with a new, empty data \
         directory; the comparison of cache and tables finds the work that is lost"
    )]
    Corrupt(String),
    /// The name given for a new lane is invalid.
    #[error("invalid lane name {name:?}: use 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -")]
    LaneName {
        /// The name.
        name: String,
    },
    /// The lane was removed, or was never added.
    #[error("the queue has no lane {name:?}: add it first; if it was removed, its entries are gone")]
    NoLane {
        /// The lane's name.
        name: String,
    },
    /// All lane numbers of the queue are used up.
    #[error("the queue has used up its lane numbers: start a new one in an empty directory and run recovery")]
    LanesUsedUp,
    /// The note's key or size is invalid.
    #[error(
        "invalid note {key:?} of {bytes} bytes: use a key of 1 to {NAME_BYTES_MAX} of a-z, 0-9 and -, and at most \
         {NOTE_BYTES_MAX} bytes"
    )]
    Note {
        /// The note's key.
        key: String,
        /// The note's size.
        bytes: usize,
    },
    /// The queue's options, or the settings of one of its topics, differ from what is required.
    #[error("{what} cannot be used: {}", differences.join("; "))]
    Incompatible {
        /// The options, or the topic by its name.
        what: String,
        /// Every difference, with its remedy.
        differences: Vec<String>,
    },
    /// The brokers that store the queue do not respond, or not in time. Trying again may help, and does no harm.
    #[error("the queue's brokers are unavailable while {action}: {detail}")]
    Unavailable {
        /// The operation, such as `reading a lane`.
        action: &'static str,
        /// The cause, as far as it is known.
        detail: String,
    },
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
}
