//! The files of a managed cluster and their permissions.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{account::Account, error::ClusterError};

/// A log above this size is rotated at the next start; one older log is kept.
const LOG_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

/// The paths of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Creates the directory if needed and checks that the server's account can work below it.
    pub(super) fn prepare(directory: &Path, account: Option<&Account>) -> Result<Self, ClusterError> {
        // With another account the directory must be passable, though not readable, for it.
        let mode = if account.is_some() { 0o711 } else { 0o700 };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(directory)
            .map_err(|source| ClusterError::io("create", directory, source))?;
        let root = directory.canonicalize().map_err(|source| ClusterError::io("resolve", directory, source))?;
        if let Some(account) = account {
            account.check_enterable(&root)?;
        }
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The directory in which `initdb` works; renamed to [`Layout::data`] on success, so that an incomplete cluster is
    /// never used.
    pub(super) fn half_made_data(&self) -> PathBuf {
        self.root.join("data.new")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub(super) fn postmaster_pid(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }

    /// The data directory and the major version that created it, if it exists.
    pub(super) fn made_by_major(&self) -> Result<Option<(PathBuf, u32)>, ClusterError> {
        let file = self.data().join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().map(|major| Some((self.data(), major))).map_err(|_| {
                ClusterError::io("make sense of", file, io::Error::other("it holds no major version number"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ClusterError::io("read", file, error)),
        }
    }

    /// The superuser's password: read, or generated if the cluster does not exist yet.
    pub(super) fn password(&self) -> Result<String, ClusterError> {
        let file = self.root.join("password");
        match fs::read_to_string(&file) {
            Ok(text) => {
                fs::set_permissions(&file, Permissions::from_mode(0o600))
                    .map_err(|source| ClusterError::io("protect", &file, source))?;
                Ok(text.trim().to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.data().exists() {
                    return Err(ClusterError::PasswordMissing { file });
                }
                let password: String = rand::random::<[u8; 24]>().iter().map(|byte| format!("{byte:02x}")).collect();
                write_atomically(&file, &password)?;
                Ok(password)
            }
            Err(error) => Err(ClusterError::io("read", file, error)),
        }
    }

    /// The port of the last start, if it is known.
    pub(super) fn remembered_port(&self) -> Option<u16> {
        fs::read_to_string(self.root.join("port")).ok()?.trim().parse().ok()
    }

    pub(super) fn remember_port(&self, port: u16) -> Result<(), ClusterError> {
        write_atomically(&self.root.join("port"), &port.to_string())
    }

    /// Whether the server that runs on this data was started with these arguments, which PostgreSQL records.
    pub(super) fn was_started_with(&self, arguments: &[String]) -> bool {
        let expected: String = arguments.iter().map(|argument| format!(" \"{argument}\"")).collect();
        fs::read_to_string(self.data().join("postmaster.opts"))
            .is_ok_and(|written| written.trim_end().ends_with(&expected))
    }

    /// Opens the log for a server to write to; also returns its current length.
    pub(super) fn open_log(&self) -> Result<(File, u64), ClusterError> {
        let log = self.log();
        let io_error = |source| ClusterError::io("open", self.log(), source);
        if log.metadata().is_ok_and(|metadata| metadata.len() > LOG_LIMIT_BYTES) {
            fs::rename(&log, self.root.join("postgres.log.1")).map_err(io_error)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&log).map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        Ok((file, length))
    }

    /// The last lines that the server wrote to its log, not counting anything before `from_bytes`.
    pub(super) fn log_tail(&self, from_bytes: u64) -> String {
        const TAIL_BYTES: u64 = 8 * 1024;
        const TAIL_LINES: usize = 25;
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(self.log())?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(from_bytes.max(length.saturating_sub(TAIL_BYTES))))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let lines: Vec<&str> = text.lines().collect();
                lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
            }
            Err(error) => format!("(cannot read {}: {error})", self.log().display()),
        }
    }
}

/// Writes a small file, mode 0600, so that after a crash it is either complete or missing.
fn write_atomically(file: &Path, text: &str) -> Result<(), ClusterError> {
    let partial = file.with_extension("partial");
    let write = || -> io::Result<()> {
        let mut handle = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&partial)?;
        handle.write_all(text.as_bytes())?;
        handle.sync_all()?;
        fs::rename(&partial, file)
    };
    write().map_err(|source| ClusterError::io("write", file, source))
}

/// The right to run a cluster: an exclusive lock on a file beside it, which ends with the process.
#[derive(Debug)]
pub(super) struct OwnerLock {
    file: File,
}

/// Unlocks explicitly: closing the file is not enough, since a child process that another thread is starting holds it
/// open until its exec.
impl Drop for OwnerLock {
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "failed to release the lock of the cluster");
        }
    }
}

impl OwnerLock {
    pub(super) fn acquire(layout: &Layout) -> Result<Self, ClusterError> {
        let path = layout.root.join("lock");
        let io_error = |source| ClusterError::io("lock", layout.root.join("lock"), source);
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
                return Err(ClusterError::InUse { directory: layout.root.clone(), owner });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(source)),
        }
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(io_error)?;
        Ok(Self { file })
    }
}
