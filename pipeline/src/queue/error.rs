//! What can go wrong with a queue.

use std::path::PathBuf;

/// Why the queue did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Another process, or another handle in this one, has the queue open.
    #[error("the queue in {} is in use by another process: stop it, or use another data directory", path.display())]
    InUse {
        /// The queue's directory.
        path: PathBuf,
    },
    /// The directory holds something that this version cannot read, and will not touch.
    #[error("the queue in {} cannot be opened: {detail}", path.display())]
    Format {
        /// The queue's directory.
        path: PathBuf,
        /// What was found, what was expected, what to do.
        detail: String,
    },
    /// The file system refused.
    #[error("the queue in {} cannot be opened", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store beneath failed. After a failed write nothing more is accepted: open the queue again, which restores
    /// what was durable.
    #[error("the queue's store failed while {action}: {detail}")]
    Storage {
        /// What was being done.
        action: &'static str,
        /// What the store says.
        detail: String,
    },
    /// An entry cannot be read back.
    #[error(
        "the queue holds an entry that cannot be read: {0}; the queue's disk is damaged: \
         start with a new, empty folder, and what it held is found again by comparing cache and tables"
    )]
    Corrupt(String),
    /// A lane was to be added under a name that cannot be one.
    #[error("{name:?} cannot be the name of a lane: use 1 to {} of a-z, 0-9 and -", super::lanes::NAME_BYTES_MAX)]
    LaneName {
        /// The name.
        name: String,
    },
    /// The lane was removed, or was never added.
    #[error("the queue has no lane {name:?}: add it first; if it was removed, all it held is gone")]
    NoLane {
        /// The name it has, or had.
        name: String,
    },
    /// So many lanes were added in the queue's life that no number is left.
    #[error("no lane can be added to this queue any more: start a new one in an empty directory and run recovery")]
    LanesUsedUp,
    /// A note under this key, or of this size, cannot be kept.
    #[error(
        "the note {key:?} of {bytes} bytes cannot be kept: its key has to be 1 to {} of a-z, 0-9 and -, and it may have \
         {} bytes",
        super::lanes::NAME_BYTES_MAX,
        super::lanes::NOTE_BYTES_MAX
    )]
    Note {
        /// The note's key.
        key: String,
        /// The note's size.
        bytes: usize,
    },
    /// The queue's options, or a topic of it, are not what they have to be.
    #[error("{what} cannot be used: {}", differences.join("; "))]
    Unfit {
        /// What is wrong: the options, or the topic by its name.
        what: String,
        /// Every difference, with what to do.
        differences: Vec<String>,
    },
    /// The service that keeps the queue does not answer, or not in time. Trying again may help, and does no harm.
    #[error("the queue's brokers cannot be worked with while {action}: {detail}")]
    Unavailable {
        /// What was being done.
        action: &'static str,
        /// What is known of the cause.
        detail: String,
    },
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
}
