//! Durable storage of a replay job: with the lane that it fills, or in a file for the cache.

use super::job::Job;
use futures::future::BoxFuture;
use millstream_pipeline::queue::{Lanes, QueueError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Key of the lane's note.
const NOTE: &str = "replay";
/// The longest error text that is stored, in bytes: notes are small.
const ERROR_BYTES_MAX: usize = 1_000;

/// Durable storage of one job.
pub trait Ledger: Send + Sync + 'static {
    /// Returns the job that was saved last, if any.
    fn load(&self) -> BoxFuture<'_, Result<Option<Job>, LedgerError>>;

    /// Replaces the job. A crash leaves either the old or the new one.
    fn save<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), LedgerError>>;
}

/// A failure to load or save a job.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The lane's queue failed.
    #[error("storing the progress of the replay with its lane failed")]
    Queue(#[from] QueueError),
    /// The file cannot be read or written.
    #[error("storing the progress of the replay in {} failed: check the folder and its free space", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The stored text is not a job of this version.
    #[error("the stored progress of the replay in {place} cannot be decoded: start the replay again")]
    Unreadable {
        /// The lane or file.
        place: String,
        /// The decoder's error.
        source: serde_json::Error,
    },
}

impl LedgerError {
    /// Whether a retry may succeed.
    pub(super) const fn is_transient(&self) -> bool {
        matches!(self, Self::Queue(QueueError::Unavailable { .. }))
    }
}

fn decode(place: impl FnOnce() -> String, json: &[u8]) -> Result<Job, LedgerError> {
    serde_json::from_slice(json).map_err(|source| LedgerError::Unreadable { place: place(), source })
}

/// Encodes the job as JSON, with its error text truncated.
fn encode(place: impl FnOnce() -> String, job: &Job) -> Result<Vec<u8>, LedgerError> {
    let mut job = job.clone();
    if let Some(text) = job.last_error.as_mut().filter(|text| text.len() > ERROR_BYTES_MAX) {
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
    }
    serde_json::to_vec(&job).map_err(|source| LedgerError::Unreadable { place: place(), source })
}

/// Stores the job as a note of its lane, which is removed with the lane.
pub struct NoteLedger {
    lanes: Arc<dyn Lanes>,
    lane: String,
}

impl NoteLedger {
    /// The storage in this lane's note.
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
            note.map(|json| decode(|| self.place(), &json)).transpose()
        })
    }

    fn save<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let note = encode(|| self.place(), job)?;
            Ok(self.lanes.set_note(&self.lane, NOTE, Some(note)).await?)
        })
    }
}

impl std::fmt::Debug for NoteLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoteLedger").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// Stores the job in a file, replaced as a whole.
#[derive(Debug)]
pub struct FileLedger {
    path: PathBuf,
}

impl FileLedger {
    /// The storage in this file, whose folder has to exist.
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
                Ok(json) => decode(|| self.place(), &json).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(self.failed()(error)),
            }
        })
    }

    fn save<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            let (json, path) = (encode(|| self.place(), job)?, self.path.clone());
            let replaced = tokio::task::spawn_blocking(move || replace(&path, &json)).await;
            replaced.map_err(io::Error::from).flatten().map_err(self.failed())
        })
    }
}

/// Writes a temporary file in the same folder, syncs it, and renames it.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(content)?;
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}
