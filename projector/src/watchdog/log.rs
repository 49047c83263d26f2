//! The durable record of incidents: one file in the data folder.
//!
//! It is a file, not a table: a record about a damaged, read-only or restored database must not be in that database, and it
//! stays readable while nothing runs. Each process keeps its own, as it keeps its own queue folder.

use super::incident::Incident;
use parking_lot::Mutex;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Incidents that are kept; older ones are dropped.
pub const INCIDENTS_MAX: usize = 1_000;

/// The file in the data folder.
const FILE: &str = "incidents.json";

/// A failure to read or write the record.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", file.display())]
pub struct IncidentLogError {
    action: &'static str,
    file: PathBuf,
    source: io::Error,
}

/// The incidents of one data folder.
#[derive(Debug)]
pub struct IncidentLog {
    file: PathBuf,
    incidents: Mutex<Vec<Incident>>,
}

impl IncidentLog {
    /// Reads the record of a data folder; there is none in a new one.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn open(data_dir: &Path) -> Result<Self, IncidentLogError> {
        let file = data_dir.join(FILE);
        let failed = |source| IncidentLogError { action: "read", file: file.clone(), source };
        let incidents = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        Ok(Self { file, incidents: Mutex::new(incidents) })
    }

    /// All incidents, oldest first.
    pub fn all(&self) -> Vec<Incident> {
        self.incidents.lock().clone()
    }

    /// Gives an incident the next number and stores it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&self, incident: Incident) -> Result<u64, IncidentLogError> {
        let mut incidents = self.incidents.lock();
        let number = incidents.last().map_or(1, |last| last.number + 1);
        incidents.push(Incident { number, ..incident });
        let excess = incidents.len().saturating_sub(INCIDENTS_MAX);
        incidents.drain(..excess);
        self.store(&incidents).map(|()| number)
    }

    /// Changes a stored incident.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn update(&self, number: u64, change: impl FnOnce(&mut Incident)) -> Result<(), IncidentLogError> {
        let mut incidents = self.incidents.lock();
        let Some(incident) = incidents.iter_mut().find(|incident| incident.number == number) else { return Ok(()) };
        change(incident);
        self.store(&incidents)
    }

    /// Writes another file and renames it, so that a crash leaves the old or the new record.
    fn store(&self, incidents: &[Incident]) -> Result<(), IncidentLogError> {
        let write = || -> io::Result<()> {
            let next = self.file.with_extension("json.next");
            let mut file = File::create(&next)?;
            file.write_all(&serde_json::to_vec_pretty(incidents)?)?;
            file.sync_all()?;
            fs::rename(&next, &self.file)?;
            match self.file.parent() {
                Some(folder) => File::open(folder)?.sync_all(),
                None => Ok(()),
            }
        };
        write().map_err(|source| IncidentLogError { action: "write", file: self.file.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn incident(version: i64) -> Incident {
        Incident {
            number: 0,
            at_ms: 1,
            document: Uuid::from_u128(7),
            resource: "ed-fi/students".to_owned(),
            version,
            place: "tables".to_owned(),
            kind: "edge missing".to_owned(),
            causes: vec!["a cause".to_owned()],
            action: "alert".to_owned(),
            mended_at_ms: None,
        }
    }

    #[test]
    fn the_record_survives_a_restart_and_is_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = IncidentLog::open(folder.path()).expect("a new record");
        for version in 0..=INCIDENTS_MAX as i64 {
            log.add(incident(version)).expect("stored");
        }
        log.update(5, |incident| incident.mended_at_ms = Some(9)).expect("stored");
        let read = IncidentLog::open(folder.path()).expect("read").all();
        assert_eq!(read.len(), INCIDENTS_MAX);
        assert_eq!(read.first().map(|first| (first.number, first.version)), Some((2, 1)), "the oldest is dropped");
        assert_eq!(read.iter().find(|incident| incident.number == 5).and_then(|of| of.mended_at_ms), Some(9));
        assert_eq!(read.last().map(|last| last.number), Some(INCIDENTS_MAX as u64 + 1));
    }
}
