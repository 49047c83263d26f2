//! Errors of creating, starting and stopping a managed cluster, with their remedies.

use std::{
    io,
    path::{Path, PathBuf},
};

/// A failure of a managed cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No server binaries were found.
    #[error(
        "PostgreSQL's server programs (initdb, postgres) were not found in {searched}: install {package}, or name a database URL"
    )]
    NotInstalled {
        /// The places searched.
        searched: String,
        /// The package to install.
        package: String,
    },
    /// The data directory was created by a major version that is not installed.
    #[error("{} was made by PostgreSQL {major}, which is not installed: install postgresql-{major}", directory.display())]
    OtherMajor {
        /// The data directory.
        directory: PathBuf,
        /// The version that created it.
        major: u32,
    },
    /// Running as root without an account to run the server under.
    #[error(
        "PostgreSQL does not run as root, and neither account 'postgres' nor 'nobody' exists: create one, or run as another user"
    )]
    NoAccount,
    /// The account of the server cannot reach the data directory.
    #[error("account '{account}', which runs PostgreSQL, may not enter {}: choose a data directory elsewhere (below /var/lib for instance), or run as another user", blocked.display())]
    NotEnterable {
        /// The account.
        account: String,
        /// The directory that it may not enter.
        blocked: PathBuf,
    },
    /// Another process owns the cluster.
    #[error("the cluster in {} is in use by process {}: stop that one first, or choose another data directory", directory.display(), owner.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string()))]
    InUse {
        /// The cluster's directory.
        directory: PathBuf,
        /// Process id of the owner, if recorded.
        owner: Option<u32>,
    },
    /// The cluster exists but its password file is missing.
    #[error("{} is missing, and the cluster beside it cannot be entered without: restore the file, or remove the whole directory and start from scratch", file.display())]
    PasswordMissing {
        /// The missing file.
        file: PathBuf,
    },
    /// A setting that decides who can reach the server was given.
    #[error("the server setting {name} is managed by Millstream and cannot be given")]
    ReservedSetting {
        /// Its name.
        name: String,
    },
    /// Something else listens on the port.
    #[error("port {port} on 127.0.0.1 is in use: choose another, or 0 for a free one")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// `initdb` failed.
    #[error("initdb failed ({status}):\n{output}")]
    Init {
        /// Its exit status.
        status: String,
        /// Its output.
        output: String,
    },
    /// The server ended while it was starting.
    #[error("PostgreSQL ended while starting; its log says:\n{log}")]
    NotStarted {
        /// The end of its log.
        log: String,
    },
    /// The server did not accept connections in time.
    #[error("PostgreSQL did not accept connections in time ({reason}); its log says:\n{log}")]
    NotReady {
        /// The last failure to connect.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// The server does not end.
    #[error("PostgreSQL (process {pid}) did not stop, not even at once; its log says:\n{log}")]
    NotStopped {
        /// Its process id.
        pid: u32,
        /// The end of its log.
        log: String,
    },
    /// An operation on a file or a process failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file or program.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl ClusterError {
    pub(super) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    pub(super) fn interrupted(error: tokio::task::JoinError) -> Self {
        Self::io("run", "initdb", io::Error::other(error))
    }
}
