//! The folder of all generations, and the pointer to the live one.
//!
//! `generations.json` names the live generation and the last number given. It is replaced atomically, so a crash leaves
//! the old or the new version. A generation folder without a manifest is incomplete and is removed when the folder is
//! opened.

use super::encoding::ModelKeys;
use super::generation::{
    Generation, GenerationManifest, IndexContext, create_generation, missing, read_manifest, replace,
};
use super::layout::INDEX_FORMAT;
use crate::private_folder::create_private;
use millstream_pipeline::binding::Binding;
use millstream_pipeline::sink::SinkError;
use millstream_pipeline::sink::generations::Generation as GenerationInfo;
use millstream_search::SearchModel;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// tantivy's minimum memory of a writer.
const WRITER_HEAP_BYTES_MIN: usize = 15_000_000;

/// Folder and memory of the embedded index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Folder of all generations; created if missing. One process at a time may open it.
    pub folder: PathBuf,
    /// Memory of a writer before it writes a segment, at least 15 MB. Reads use the page cache.
    pub writer_heap_bytes: usize,
    /// The database that the index is a copy of. Without one, the folder's database is not checked.
    pub binding: Option<Binding>,
}

impl EmbeddedOptions {
    /// Options with the default memory, 20 MB.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), writer_heap_bytes: 20_000_000, binding: None }
    }
}

const POINTER: &str = "generations.json";
const LOCK: &str = "lock";

const REMEDY: &str = "give this one a folder of its own (embedded.dir), or delete the folder if that database is gone";

/// The content of the pointer file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct GenerationPointer {
    live: Option<u32>,
    /// The last number given.
    last: u32,
    /// The database of the documents ([`millstream_pipeline::binding`]). Earlier versions did not write it.
    #[serde(default)]
    source: Option<String>,
}

/// The folder, shared by the store and its sinks.
pub(super) struct IndexFolder {
    folder: PathBuf,
    context: Arc<IndexContext>,
    state: Mutex<FolderState>,
    // Dropped last, after everything that writes to the folder.
    _lock: FolderLock,
}

/// The lock on the folder.
struct FolderLock(File);

/// Unlocks explicitly. Closing the file is not enough: a child process that another thread is starting shares the open
/// file until its `exec`.
impl Drop for FolderLock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "failed to release the lock of the embedded index");
        }
    }
}

struct FolderState {
    pointer: GenerationPointer,
    open: BTreeMap<u32, Arc<Generation>>,
    /// Generations that are being removed; they are not opened again.
    removing: BTreeSet<u32>,
}

impl IndexFolder {
    pub(super) fn open(options: &EmbeddedOptions, model: Arc<SearchModel>) -> Result<Self, SinkError> {
        let folder = options.folder.clone();
        let sink = format!("the embedded index in {}", folder.display());
        let unavailable = |what: &str, error: &io::Error| SinkError::Unavailable {
            sink: sink.clone(),
            reason: format!("{what}: {error}"),
        };
        let incompatible =
            |difference: String| SinkError::Incompatible { sink: sink.clone(), differences: vec![difference] };
        if options.writer_heap_bytes < WRITER_HEAP_BYTES_MIN {
            return Err(incompatible(format!(
                "its writer needs at least {WRITER_HEAP_BYTES_MIN} bytes of memory: raise the limit"
            )));
        }
        create_private(&folder).map_err(|error| unavailable("the folder cannot be created", &error))?;
        let lock = File::create(folder.join(LOCK)).map_err(|error| unavailable("the lock cannot be opened", &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let difference = "another process has it open: stop that process, or configure another folder";
                return Err(incompatible(difference.to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(unavailable("the folder cannot be locked", &error)),
        }
        let pointer = match fs::read(folder.join(POINTER)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                incompatible(format!(
                    "{POINTER} is damaged ({error}): delete the folder and fill it again (millstream sink backfill)"
                ))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => GenerationPointer::default(),
            Err(error) => return Err(unavailable("the pointer to the live generation cannot be read", &error)),
        };
        let keys = ModelKeys::of(&model);
        let context = Arc::new(IndexContext { model, keys, writer_heap_bytes: options.writer_heap_bytes });
        let state = Mutex::new(FolderState { pointer, open: BTreeMap::new(), removing: BTreeSet::new() });
        let opened = Self { folder, context, state, _lock: FolderLock(lock) };
        opened.bind(options.binding.as_ref())?;
        opened.sweep().map_err(|error| unavailable("incomplete generations cannot be removed", &error))?;
        Ok(opened)
    }

    pub(super) fn describe(&self) -> String {
        format!("the embedded index in {}", self.folder.display())
    }

    pub(super) fn describe_generation(&self, number: u32) -> String {
        format!("the embedded index in {}", self.path(number).display())
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(number.to_string())
    }

    fn state(&self) -> MutexGuard<'_, FolderState> {
        self.state.lock()
    }

    fn failed(&self, what: &str, error: &io::Error) -> SinkError {
        SinkError::Unavailable { sink: self.describe(), reason: format!("{what}: {error}") }
    }

    /// Returns the numbers of the existing folders, ascending.
    fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Refuses the folder of another database, and records the database if the folder has none.
    fn bind(&self, binding: Option<&Binding>) -> Result<(), SinkError> {
        let Some(binding) = binding else { return Ok(()) };
        let mut state = self.state();
        let Some(found) = &state.pointer.source else {
            let pointer = GenerationPointer { source: Some(binding.as_str().to_owned()), ..state.pointer.clone() };
            return self.write_pointer(&mut state, pointer);
        };
        match binding.difference(found, REMEDY) {
            None => Ok(()),
            Some(difference) => Err(SinkError::Incompatible { sink: self.describe(), differences: vec![difference] }),
        }
    }

    /// Removes folders whose creation or removal was interrupted.
    fn sweep(&self) -> io::Result<()> {
        let live = self.state().pointer.live;
        for number in self.numbers()? {
            // The live one was complete once: damage to it is reported, not removed.
            if Some(number) != live && matches!(read_manifest(&self.path(number)), Ok(None)) {
                fs::remove_dir_all(self.path(number))?;
            }
        }
        Ok(())
    }

    /// Returns a generation, and opens it if necessary.
    pub(super) fn generation(&self, number: u32) -> Result<Arc<Generation>, SinkError> {
        let mut state = self.state();
        if let Some(open) = state.open.get(&number) {
            return Ok(Arc::clone(open));
        }
        if state.removing.contains(&number) {
            return Err(missing(&self.path(number), number));
        }
        let generation = Arc::new(Generation::open(self.path(number), number, &self.context)?);
        state.open.insert(number, Arc::clone(&generation));
        Ok(generation)
    }

    /// Returns the live generation, and creates it if there is none.
    pub(super) fn live_generation(&self) -> Result<Arc<Generation>, SinkError> {
        let number = self.live()?;
        self.generation(number)
    }

    pub(super) fn live(&self) -> Result<u32, SinkError> {
        let mut state = self.state();
        if let Some(live) = state.pointer.live {
            return Ok(live);
        }
        let number = self.create_next(&mut state)?;
        let pointer = GenerationPointer { live: Some(number), ..state.pointer.clone() };
        self.write_pointer(&mut state, pointer)?;
        Ok(number)
    }

    /// Creates the next generation and returns its number.
    pub(super) fn create(&self) -> Result<u32, SinkError> {
        self.create_next(&mut self.state())
    }

    /// Creates the next generation. Records the number before it creates the folder, so that no number is used twice.
    fn create_next(&self, state: &mut FolderState) -> Result<u32, SinkError> {
        let number = state.pointer.last + 1;
        let pointer = GenerationPointer { last: number, ..state.pointer.clone() };
        self.write_pointer(state, pointer)?;
        let created_at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let manifest = GenerationManifest {
            form: INDEX_FORMAT,
            schema_hash: self.context.model.schema_hash.clone(),
            created_at_ms: u64::try_from(created_at_ms).unwrap_or(u64::MAX),
        };
        create_generation(&self.path(number), &manifest)?;
        Ok(number)
    }

    fn write_pointer(&self, state: &mut FolderState, pointer: GenerationPointer) -> Result<(), SinkError> {
        let json = serde_json::to_vec(&pointer)
            .map_err(|error| self.failed("the pointer cannot be written", &io::Error::other(error)))?;
        replace(&self.folder.join(POINTER), &json)
            .map_err(|error| self.failed("the pointer to the live generation cannot be written", &error))?;
        state.pointer = pointer;
        Ok(())
    }

    pub(super) fn swap(&self, number: u32) -> Result<(), SinkError> {
        // A generation that cannot be opened must not become live.
        self.generation(number)?;
        let mut state = self.state();
        if state.removing.contains(&number) {
            return Err(missing(&self.path(number), number));
        }
        let pointer = GenerationPointer { live: Some(number), ..state.pointer.clone() };
        self.write_pointer(&mut state, pointer)
    }

    pub(super) fn remove(&self, number: u32) -> Result<(), SinkError> {
        let mut state = self.state();
        if state.pointer.live == Some(number) {
            let differences =
                vec![format!("generation {number} is live: make another one live first (millstream index swap)")];
            return Err(SinkError::Incompatible { sink: self.describe(), differences });
        }
        let folder = self.path(number);
        // Does not open it: a damaged generation can be removed too.
        if !folder.is_dir() {
            return Err(missing(&folder, number));
        }
        let open = state.open.remove(&number);
        state.removing.insert(number);
        // Searches of and writes to other generations continue meanwhile.
        drop(state);
        if let Some(open) = open {
            // Ends writes, also of sinks that still hold the generation.
            open.writer.close();
        }
        let removed = fs::remove_dir_all(&folder);
        self.state().removing.remove(&number);
        removed.map_err(|error| self.failed("the folder cannot be removed", &error))
    }

    pub(super) fn list(&self) -> Result<Vec<GenerationInfo>, SinkError> {
        let numbers = self.numbers().map_err(|error| self.failed("the folder cannot be read", &error))?;
        numbers.into_iter().map(|number| self.info(number)).collect()
    }

    fn info(&self, number: u32) -> Result<GenerationInfo, SinkError> {
        let live = self.state().pointer.live == Some(number);
        let generation = match self.generation(number) {
            Ok(generation) => generation,
            // It must still be listed and removable; another one can be built beside it.
            Err(error @ SinkError::Incompatible { .. }) => {
                tracing::warn!(generation = number, %error, "cannot open a generation; listing it as empty");
                return Ok(unopened(number, live));
            }
            Err(error) => return Err(error),
        };
        Ok(GenerationInfo {
            number,
            live,
            created_at_ms: generation.manifest.created_at_ms,
            documents: generation.documents().map_err(|error| generation.unreadable(&error))?,
            bytes: generation.bytes().map_err(|error| self.failed("the folder cannot be read", &error))?,
            schema_hash: generation.manifest.schema_hash.clone(),
            mapping_current: generation.manifest.schema_hash == self.context.model.schema_hash,
        })
    }
}

/// The entry of a generation that cannot be opened.
fn unopened(number: u32, live: bool) -> GenerationInfo {
    let schema_hash = String::new();
    GenerationInfo { number, live, created_at_ms: 0, documents: 0, bytes: 0, schema_hash, mapping_current: false }
}

/// Runs work that reads or writes the disk on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    sink: String,
    work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(SinkError::Broken { sink, reason: error.to_string() }),
    }
}
