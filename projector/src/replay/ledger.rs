//! Where a replay's place is kept: beside the lane it fills, or in a file for the cache's.

use super::Job;
use futures::future::BoxFuture;
use millstream_pipeline::queue::{Lanes, QueueError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Key of the note.
const NOTE: &str = "replay";
/// The longest error text that is stored, in bytes: a note has little room.
const ERROR_BYTES_MAX: usize = 1_000;

/// Keeps one job, durably.
pub trait Ledger: Send + Sync + 'static {
    /// The job that was saved last, if any.
    fn load(&self) -> BoxFuture<'_, Result<Option<Job>, LedgerError>>;

    /// Replaces it. A crash leaves the old one or the new one.
    fn save<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), LedgerError>>;
}

/// Why a job cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The lane's queue refused.
    #[error("the place of the replay cannot be kept with its lane")]
    Queue(#[from] QueueError),
    /// The file cannot be read or written.
    #[error("the place of the replay cannot be kept in {}: check the folder and its free space", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What was stored is no job of this version.
    #[error("what is stored of a replay in {place} cannot be read: start it again")]
    Unreadable {
        /// Where.
        place: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl LedgerError {
    /// Whether trying again may help.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Queue(QueueError::Unavailable { .. }))
    }
}

fn read(place: impl FnOnce() -> String, json: &[u8]) -> Result<Job, LedgerError> {
    serde_json::from_slice(json).map_err(|source| LedgerError::Unreadable { place: place(), source })
}

/// As JSON, with an error text that is not too long.
fn write(place: impl FnOnce() -> String, job: &Job) -> Result<Vec<u8>, LedgerError> {
    let mut job = job.clone();
    if let Some(text) = job.last_error.as_mut().filter(|text| text.len() > ERROR_BYTES_MAX) {
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
    }
    serde_json::to_vec(&job).map_err(|source| LedgerError::Unreadable { place: place(), source })
}

/// A note of a lane: it goes where the lane goes.
pub struct NoteLedger {
    lanes: Arc<dyn Lanes>,
    lane: String,
}

impl NoteLedger {
    /// The ledger of this lane.
    #[must_use]
    pub fn new(lanes: Arc<dyn Lanes>, lane: impl Into<String>) -> Self {
        Self { lanes, lane: lane.into() }
    }

    fn place(&self) -> String {
        format!("lane {}", self.lane)
    }
}

impl Ledger for NoteLedger {
    fn load(&self) -> BoxFuture<'_, Result<Option<Job>, LedgerError>> {
        Box::pin(async move {
            let note = self.lanes.note(&self.lane, NOTE).await?;
            note.map(|json| read(|| self.place(), &json)).transpose()
        })
    }

    fn save<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let note = write(|| self.place(), job)?;
            Ok(self.lanes.set_note(&self.lane, NOTE, Some(note)).await?)
        })
    }
}

impl std::fmt::Debug for NoteLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoteLedger").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// A file, replaced as a whole.
#[derive(Debug)]
pub struct FileLedger {
    path: PathBuf,
}

impl FileLedger {
    /// The ledger in this file, whose folder has to be there.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> LedgerError {
        |source| LedgerError::File { path: self.path.clone(), source }
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

impl Ledger for FileLedger {
    fn load(&self) -> BoxFuture<'_, Result<Option<Job>, LedgerError>> {
        Box::pin(async move {
            match tokio::fs::read(&self.path).await {
                Ok(json) => read(|| self.place(), &json).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.failed()(error)),
            }
        })
    }

    fn save<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let (json, path) = (write(|| self.place(), job)?, self.path.clone());
            let replaced = tokio::task::spawn_blocking(move || replace(&path, &json)).await;
            replaced.map_err(io::Error::from).flatten().map_err(self.failed())
        })
    }
}

/// Writes beside it, onto the disk, then takes its place.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(content)?;
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}
