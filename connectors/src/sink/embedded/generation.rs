//! One generation: an index in a folder of its own, open for reading and writing.

use super::encoding::Keys;
use super::layout::{FORM, Layout, VERSION};
use super::writer::Writer;
use millstream_pipeline::sink::SinkError;
use millstream_search::SearchModel;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::{Index, IndexReader, ReloadPolicy, Searcher, TantivyError};

/// The file that says what a folder holds. Written last: a folder without it was never finished.
const MARK: &str = "millstream.json";

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// [`FORM`] of the process that made it.
    pub(super) form: u32,
    /// The schema that it was made for.
    pub(super) schema_hash: String,
    /// When, in milliseconds since 1970.
    pub(super) created_at_ms: u64,
}

/// What every generation of a store shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) model: Arc<SearchModel>,
    pub(super) keys: Keys,
    pub(super) writer_heap_bytes: usize,
}

/// An open generation.
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) mark: Mark,
    pub(super) layout: Layout,
    pub(super) shared: Arc<Shared>,
    folder: PathBuf,
    reader: IndexReader,
    pub(super) writer: Writer,
}

/// Makes an empty generation in a folder that is not there yet.
pub(super) fn make(folder: &Path, mark: &Mark) -> Result<(), SinkError> {
    let failed = |reason: String| SinkError::Unavailable { sink: describe(folder), reason };
    fs::create_dir(folder).map_err(|error| failed(format!("the folder cannot be made: {error}")))?;
    let (schema, _) = Layout::new();
    Index::create_in_dir(folder, schema).map_err(|error| failed(error.to_string()))?;
    let json = serde_json::to_vec(mark).map_err(|error| failed(error.to_string()))?;
    replace(&folder.join(MARK), &json).map_err(|error| failed(format!("{MARK} cannot be written: {error}")))
}

/// What a folder says of itself; `None` if it was never finished.
pub(super) fn read_mark(folder: &Path) -> Result<Option<Mark>, SinkError> {
    let path = folder.join(MARK);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(folder, &error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let reason = format!("{} cannot be read: {error}", path.display());
            Err(SinkError::Unavailable { sink: describe(folder), reason })
        }
    }
}

impl Generation {
    pub(super) fn open(folder: PathBuf, number: u32, shared: &Arc<Shared>) -> Result<Self, SinkError> {
        let mark = read_mark(&folder)?.ok_or_else(|| missing(&folder, number))?;
        if mark.form != FORM {
            let difference = format!(
                "it was written by another version of this program, in form {} instead of {FORM}: build a new \
                 generation (millstream index build), then remove this one",
                mark.form
            );
            return Err(SinkError::Unfit { sink: describe(&folder), differences: vec![difference] });
        }
        let (schema, layout) = Layout::new();
        let index = Index::open_in_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        if index.schema() != schema {
            return Err(damaged(&folder, "its fields are not those of an index of this program"));
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
        let reader: IndexReader = reader.map_err(|error| unreadable(&folder, &error))?;
        let writer = Writer::start(&index, &reader, layout, shared.writer_heap_bytes)
            .map_err(|error| unreadable(&folder, &error))?;
        Ok(Self { number, mark, layout, shared: Arc::clone(shared), folder, reader, writer })
    }

    pub(super) fn describe(&self) -> String {
        describe(&self.folder)
    }

    /// What was committed last.
    pub(super) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    /// Documents, tombstones left out.
    pub(super) fn documents(&self) -> tantivy::Result<u64> {
        let searcher = self.searcher();
        let mut count = 0;
        for segment in searcher.segment_readers() {
            let versions = segment.fast_fields().i64(VERSION)?;
            count += segment.doc_ids_alive().filter(|doc| versions.first(*doc).is_some()).count() as u64;
        }
        let tombstone = tantivy::Term::from_field_bytes(self.layout.kind, &super::encoding::TOMBSTONE);
        for segment in searcher.segment_readers() {
            count -= u64::from(alive_with(segment, &tombstone)?);
        }
        Ok(count)
    }

    /// Bytes of the folder.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.folder)? {
            // A file may be merged away in between.
            bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(bytes)
    }

    /// An answer that cannot be: the folder is damaged, or cannot be read.
    pub(super) fn unreadable(&self, error: &TantivyError) -> SinkError {
        unreadable(&self.folder, error)
    }
}

fn alive_with(segment: &tantivy::SegmentReader, term: &tantivy::Term) -> tantivy::Result<u32> {
    use tantivy::DocSet;
    let option = tantivy::schema::IndexRecordOption::Basic;
    let Some(mut postings) = segment.inverted_index(term.field())?.read_postings(term, option)? else { return Ok(0) };
    Ok(match segment.alive_bitset() {
        Some(alive) => postings.count(alive),
        None => postings.count_including_deleted(),
    })
}

fn describe(folder: &Path) -> String {
    format!("the embedded index in {}", folder.display())
}

pub(super) fn missing(folder: &Path, number: u32) -> SinkError {
    let differences = vec![format!("there is no generation {number}: build one (millstream index build)")];
    SinkError::Unfit { sink: describe(folder), differences }
}

fn damaged(folder: &Path, reason: &str) -> SinkError {
    let difference = format!(
        "it is damaged ({reason}): build a new generation (millstream index build), or delete the folder and fill it anew \
         (millstream sink backfill)"
    );
    SinkError::Unfit { sink: describe(folder), differences: vec![difference] }
}

fn unreadable(folder: &Path, error: &TantivyError) -> SinkError {
    match error {
        TantivyError::LockFailure(..) => {
            let difference = "another process writes to it: stop that one, or give this one another folder".to_owned();
            SinkError::Unfit { sink: describe(folder), differences: vec![difference] }
        }
        TantivyError::IoError(_) | TantivyError::SystemError(_) | TantivyError::ErrorInThread(_) => {
            SinkError::Unavailable { sink: describe(folder), reason: error.to_string() }
        }
        _ => damaged(folder, &error.to_string()),
    }
}

/// Puts a file in the place of another, whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().unwrap_or(path);
    File::open(folder)?.sync_all()
}
