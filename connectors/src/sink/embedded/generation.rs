//! One generation: an index in its own folder, open for reading and writing.

use super::encoding::{ModelKeys, TOMBSTONE};
use super::layout::{INDEX_FORMAT, Layout, VERSION};
use super::writer::IndexThread;
use bytes::Bytes;
use millstream_pipeline::sink::SinkError;
use millstream_search::SearchModel;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::schema::{IndexRecordOption, Value};
use tantivy::{
    DocAddress, DocSet, Index, IndexReader, ReloadPolicy, Searcher, SegmentReader, TantivyDocument, TantivyError, Term,
};

/// File name of the manifest. It is written last, so a folder without it is incomplete.
const MANIFEST: &str = "millstream.json";

/// The description of a generation in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GenerationManifest {
    /// Format version of the index: [`INDEX_FORMAT`] of the process that created it.
    pub(super) form: u32,
    /// The schema that it was created for.
    pub(super) schema_hash: String,
    /// Time of the creation, in milliseconds since 1970.
    pub(super) created_at_ms: u64,
}

/// State that all generations of a folder share.
#[derive(Debug)]
pub(super) struct IndexContext {
    pub(super) model: Arc<SearchModel>,
    pub(super) keys: ModelKeys,
    pub(super) writer_heap_bytes: usize,
}

/// An open generation.
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) manifest: GenerationManifest,
    pub(super) layout: Layout,
    pub(super) context: Arc<IndexContext>,
    folder: PathBuf,
    reader: IndexReader,
    pub(super) writer: IndexThread,
}

/// Creates an empty generation in a new folder.
pub(super) fn create_generation(folder: &Path, manifest: &GenerationManifest) -> Result<(), SinkError> {
    let failed = |reason: String| SinkError::Unavailable { sink: describe(folder), reason };
    fs::create_dir(folder).map_err(|error| failed(format!("the folder cannot be created: {error}")))?;
    let (schema, _) = Layout::new();
    Index::create_in_dir(folder, schema).map_err(|error| failed(error.to_string()))?;
    let json = serde_json::to_vec(manifest).map_err(|error| failed(error.to_string()))?;
    replace(&folder.join(MANIFEST), &json).map_err(|error| failed(format!("{MANIFEST} cannot be written: {error}")))
}

/// Reads the manifest of a folder; `None` if the folder is incomplete.
pub(super) fn read_manifest(folder: &Path) -> Result<Option<GenerationManifest>, SinkError> {
    let path = folder.join(MANIFEST);
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
    pub(super) fn open(folder: PathBuf, number: u32, context: &Arc<IndexContext>) -> Result<Self, SinkError> {
        let manifest = read_manifest(&folder)?.ok_or_else(|| missing(&folder, number))?;
        if manifest.form != INDEX_FORMAT {
            let difference = format!(
                "it was written by another version of Millstream, in format {} instead of {INDEX_FORMAT}: build a new \
                 generation (millstream index build), then remove this one",
                manifest.form
            );
            return Err(SinkError::Incompatible { sink: describe(&folder), differences: vec![difference] });
        }
        let (schema, layout) = Layout::new();
        let index = Index::open_in_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        if index.schema() != schema {
            return Err(damaged(&folder, "its fields are not those of a Millstream index"));
        }
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
        let reader: IndexReader = reader.map_err(|error| unreadable(&folder, &error))?;
        let writer = IndexThread::start(&index, &reader, layout, context.writer_heap_bytes)
            .map_err(|error| unreadable(&folder, &error))?;
        Ok(Self { number, manifest, layout, context: Arc::clone(context), folder, reader, writer })
    }

    pub(super) fn describe(&self) -> String {
        describe(&self.folder)
    }

    /// Returns a searcher on the last commit.
    pub(super) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    /// Counts the documents, without tombstones.
    pub(super) fn documents(&self) -> tantivy::Result<u64> {
        let searcher = self.searcher();
        let mut count = 0;
        for segment in searcher.segment_readers() {
            let versions = segment.fast_fields().i64(VERSION)?;
            count += segment.doc_ids_alive().filter(|doc| versions.first(*doc).is_some()).count() as u64;
        }
        let tombstone = Term::from_field_bytes(self.layout.kind, &TOMBSTONE);
        for segment in searcher.segment_readers() {
            count -= u64::from(count_alive(segment, &tombstone)?);
        }
        Ok(count)
    }

    /// Returns the folder's size in bytes.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(&self.folder)? {
            // A merge may delete the file meanwhile.
            bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(bytes)
    }

    /// Reads the stored body of an entry; `None` if it has none.
    pub(super) fn body(&self, searcher: &Searcher, at: DocAddress) -> Result<Option<Bytes>, SinkError> {
        let entry: TantivyDocument = searcher.doc(at).map_err(|error| self.unreadable(&error))?;
        Ok(entry.get_first(self.layout.body).and_then(|value| value.as_bytes().map(Bytes::copy_from_slice)))
    }

    /// Converts an error of tantivy: the folder is damaged, in use or cannot be read.
    pub(super) fn unreadable(&self, error: &TantivyError) -> SinkError {
        unreadable(&self.folder, error)
    }
}

fn count_alive(segment: &SegmentReader, term: &Term) -> tantivy::Result<u32> {
    let option = IndexRecordOption::Basic;
    let Some(mut postings) = segment.inverted_index(term.field())?.read_postings(term, option)? else { return Ok(0) };
    Ok(match segment.alive_bitset() {
        Some(alive) => postings.count(alive),
        None => postings.count_including_deleted(),
    })
}

fn describe(folder: &Path) -> String {
    format!("the embedded index in {}", folder.display())
}

/// Returns the error for a generation without a complete folder.
pub(super) fn missing(folder: &Path, number: u32) -> SinkError {
    let differences = vec![format!("generation {number} does not exist: build one (millstream index build)")];
    SinkError::Incompatible { sink: describe(folder), differences }
}

fn damaged(folder: &Path, reason: &str) -> SinkError {
    let difference = format!(
        "it is damaged ({reason}): build a new generation (millstream index build), or delete the folder and fill it \
         again (millstream sink backfill)"
    );
    SinkError::Incompatible { sink: describe(folder), differences: vec![difference] }
}

fn unreadable(folder: &Path, error: &TantivyError) -> SinkError {
    match error {
        TantivyError::LockFailure(..) => {
            let difference = "another process writes to it: stop that process, or configure another folder".to_owned();
            SinkError::Incompatible { sink: describe(folder), differences: vec![difference] }
        }
        TantivyError::IoError(_) | TantivyError::SystemError(_) | TantivyError::ErrorInThread(_) => {
            SinkError::Unavailable { sink: describe(folder), reason: error.to_string() }
        }
        _ => damaged(folder, &error.to_string()),
    }
}

/// Replaces a file atomically.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().unwrap_or(path);
    File::open(folder)?.sync_all()
}
