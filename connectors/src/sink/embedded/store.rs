//! The folder of all generations, and which of them is live.
//!
//! `generations.json` says which is live and which number was given last; it is replaced as a whole, so a crash leaves the
//! one before or the one after. A folder that was never finished has no mark and is removed when the store is opened.

use super::encoding::Keys;
use super::generation::{Generation, Mark, Shared, make, missing, read_mark, replace};
use super::layout::FORM;
use super::options::{EmbeddedOptions, WRITER_HEAP_BYTES_MIN};
use super::sink::EmbeddedSink;
use futures::future::{BoxFuture, FutureExt};
use millstream_pipeline::binding::Binding;
use millstream_pipeline::sink::generations::{Generation as Standing, Generations};
use millstream_pipeline::sink::{Sink, SinkError};
use millstream_search::SearchModel;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const POINTER: &str = "generations.json";
const LOCK: &str = "lock";

const ELSEWHERE: &str =
    "give this one a folder of its own (embedded.dir), or delete the folder if that database is gone";

/// What the pointer file says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Pointer {
    live: Option<u32>,
    /// The number that was given last.
    last: u32,
    /// Whose documents these are ([`millstream_pipeline::binding`]); earlier versions did not say.
    #[serde(default)]
    source: Option<String>,
}

/// All generations of the embedded index of one process.
///
/// Cheap to clone; the folder is locked until the last clone, and the last sink made from one, is dropped.
#[derive(Clone)]
pub struct EmbeddedStore {
    pub(super) inner: Arc<Inner>,
}

/// What the store and its sinks share.
pub(super) struct Inner {
    folder: PathBuf,
    shared: Arc<Shared>,
    state: Mutex<State>,
    // After what writes to the folder.
    _lock: FolderLock,
}

/// The lock on the folder.
struct FolderLock(File);

/// Closing the file would not do: a process that another thread is starting just now has it open until it is itself.
impl Drop for FolderLock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of the embedded index could not be released");
        }
    }
}

struct State {
    pointer: Pointer,
    open: BTreeMap<u32, Arc<Generation>>,
    /// Generations that are being removed: nobody opens them any more.
    going: BTreeSet<u32>,
}

impl EmbeddedStore {
    /// Opens the folder, and locks it. Reads the disk: call it where that may take a moment.
    ///
    /// # Errors
    /// [`SinkError::Unfit`] when another process has it open, it is the copy of another database, or what it holds is
    /// damaged; [`SinkError::Unavailable`] when it cannot be read.
    pub fn open(options: &EmbeddedOptions, model: Arc<SearchModel>) -> Result<Self, SinkError> {
        let folder = options.folder.clone();
        let sink = format!("the embedded index in {}", folder.display());
        let unavailable = |what: &str, error: &io::Error| SinkError::Unavailable {
            sink: sink.clone(),
            reason: format!("{what}: {error}"),
        };
        let unfit = |difference: String| SinkError::Unfit { sink: sink.clone(), differences: vec![difference] };
        if options.writer_heap_bytes < WRITER_HEAP_BYTES_MIN {
            return Err(unfit(format!(
                "its writer takes at least {WRITER_HEAP_BYTES_MIN} bytes of memory: allow it more"
            )));
        }
        fs::create_dir_all(&folder).map_err(|error| unavailable("the folder cannot be made", &error))?;
        let lock = File::create(folder.join(LOCK)).map_err(|error| unavailable("the lock cannot be opened", &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let difference = "another process has it open: stop that one, or give this one another folder";
                return Err(unfit(difference.to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(unavailable("the folder cannot be locked", &error)),
        }
        let pointer = match fs::read(folder.join(POINTER)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                unfit(format!(
                    "{POINTER} is damaged ({error}): delete the folder and fill it anew (millstream sink backfill)"
                ))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Pointer::default(),
            Err(error) => return Err(unavailable("the pointer to the live generation cannot be read", &error)),
        };
        let keys = Keys::of(&model);
        let shared = Arc::new(Shared { model, keys, writer_heap_bytes: options.writer_heap_bytes });
        let state = Mutex::new(State { pointer, open: BTreeMap::new(), going: BTreeSet::new() });
        let inner = Inner { folder, shared, state, _lock: FolderLock(lock) };
        inner.bind(options.binding.as_ref())?;
        inner.sweep().map_err(|error| unavailable("what was not finished cannot be removed", &error))?;
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Inner {
    pub(super) fn describe(&self) -> String {
        format!("the embedded index in {}", self.folder.display())
    }

    pub(super) fn describe_generation(&self, number: u32) -> String {
        format!("the embedded index in {}", self.path(number).display())
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(number.to_string())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, what: &str, error: &io::Error) -> SinkError {
        SinkError::Unavailable { sink: self.describe(), reason: format!("{what}: {error}") }
    }

    /// Numbers of the folders that are there, ascending.
    fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Refuses the folder of another database, and notes whose it is if it does not say.
    fn bind(&self, binding: Option<&Binding>) -> Result<(), SinkError> {
        let Some(binding) = binding else { return Ok(()) };
        let mut state = self.state();
        let Some(found) = &state.pointer.source else {
            let pointer = Pointer { source: Some(binding.as_str().to_owned()), ..state.pointer.clone() };
            return self.point(&mut state, pointer);
        };
        match binding.difference(found, ELSEWHERE) {
            None => Ok(()),
            Some(difference) => Err(SinkError::Unfit { sink: self.describe(), differences: vec![difference] }),
        }
    }

    /// Removes folders of which the making, or the removing, was cut off.
    fn sweep(&self) -> io::Result<()> {
        let live = self.state().pointer.live;
        for number in self.numbers()? {
            // The live one was finished once: what is wrong with it is told, not swept away.
            if Some(number) != live && matches!(read_mark(&self.path(number)), Ok(None)) {
                fs::remove_dir_all(self.path(number))?;
            }
        }
        Ok(())
    }

    /// A generation, opened if it is not yet.
    pub(super) fn generation(&self, number: u32) -> Result<Arc<Generation>, SinkError> {
        let mut state = self.state();
        if let Some(open) = state.open.get(&number) {
            return Ok(Arc::clone(open));
        }
        if state.going.contains(&number) {
            return Err(missing(&self.path(number), number));
        }
        let generation = Arc::new(Generation::open(self.path(number), number, &self.shared)?);
        state.open.insert(number, Arc::clone(&generation));
        Ok(generation)
    }

    /// The live one, made if there is none.
    pub(super) fn live_generation(&self) -> Result<Arc<Generation>, SinkError> {
        let number = self.live()?;
        self.generation(number)
    }

    fn live(&self) -> Result<u32, SinkError> {
        let mut state = self.state();
        if let Some(live) = state.pointer.live {
            return Ok(live);
        }
        let number = self.make(&mut state)?;
        let pointer = Pointer { live: Some(number), ..state.pointer.clone() };
        self.point(&mut state, pointer)?;
        Ok(number)
    }

    /// Makes the next generation. The number is given before there is a folder: it is never given again.
    fn make(&self, state: &mut State) -> Result<u32, SinkError> {
        let number = state.pointer.last + 1;
        let pointer = Pointer { last: number, ..state.pointer.clone() };
        self.point(state, pointer)?;
        let created_at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mark = Mark {
            form: FORM,
            schema_hash: self.shared.model.schema_hash.clone(),
            created_at_ms: u64::try_from(created_at_ms).unwrap_or(u64::MAX),
        };
        make(&self.path(number), &mark)?;
        Ok(number)
    }

    fn point(&self, state: &mut State, pointer: Pointer) -> Result<(), SinkError> {
        let json = serde_json::to_vec(&pointer)
            .map_err(|error| self.failed("the pointer cannot be written", &io::Error::other(error)))?;
        replace(&self.folder.join(POINTER), &json)
            .map_err(|error| self.failed("the pointer to the live generation cannot be written", &error))?;
        state.pointer = pointer;
        Ok(())
    }

    fn swap(&self, number: u32) -> Result<(), SinkError> {
        // Opened first: what cannot be opened cannot answer.
        self.generation(number)?;
        let mut state = self.state();
        if state.going.contains(&number) {
            return Err(missing(&self.path(number), number));
        }
        let pointer = Pointer { live: Some(number), ..state.pointer.clone() };
        self.point(&mut state, pointer)
    }

    fn remove(&self, number: u32) -> Result<(), SinkError> {
        let mut state = self.state();
        if state.pointer.live == Some(number) {
            let differences =
                vec![format!("generation {number} is live: make another one live first (millstream index swap)")];
            return Err(SinkError::Unfit { sink: self.describe(), differences });
        }
        let folder = self.path(number);
        // A damaged one can be removed like any other.
        if !folder.is_dir() {
            return Err(missing(&folder, number));
        }
        let open = state.open.remove(&number);
        state.going.insert(number);
        // The others are searched and written to meanwhile.
        drop(state);
        if let Some(open) = open {
            // Nothing is written to it from here on, whoever still holds it.
            open.writer.close();
        }
        let removed = fs::remove_dir_all(&folder);
        self.state().going.remove(&number);
        removed.map_err(|error| self.failed("the folder cannot be removed", &error))
    }

    fn list(&self) -> Result<Vec<Standing>, SinkError> {
        let numbers = self.numbers().map_err(|error| self.failed("the folder cannot be read", &error))?;
        numbers.into_iter().map(|number| self.standing(number)).collect()
    }

    fn standing(&self, number: u32) -> Result<Standing, SinkError> {
        let live = self.state().pointer.live == Some(number);
        let generation = match self.generation(number) {
            Ok(generation) => generation,
            // Another one can be built beside it, so it must not be in the way of being listed, or removed.
            Err(error @ SinkError::Unfit { .. }) => {
                tracing::warn!(generation = number, %error, "a generation cannot be opened: it is listed as empty");
                return Ok(unfit(number, live));
            }
            Err(error) => return Err(error),
        };
        Ok(Standing {
            number,
            live,
            created_at_ms: generation.mark.created_at_ms,
            documents: generation.documents().map_err(|error| generation.unreadable(&error))?,
            bytes: generation.bytes().map_err(|error| self.failed("the folder cannot be read", &error))?,
            schema_hash: generation.mark.schema_hash.clone(),
            mapping_current: generation.mark.schema_hash == self.shared.model.schema_hash,
        })
    }
}

/// A generation that cannot be opened.
fn unfit(number: u32, live: bool) -> Standing {
    let schema_hash = String::new();
    Standing { number, live, created_at_ms: 0, documents: 0, bytes: 0, schema_hash, mapping_current: false }
}

/// Runs something that reads or writes the disk on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    sink: String,
    work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(SinkError::Broken { sink, reason: error.to_string() }),
    }
}

impl EmbeddedStore {
    async fn on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let inner = Arc::clone(&self.inner);
        blocking(self.inner.describe(), move || work(&inner)).await
    }
}

impl Generations for EmbeddedStore {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Standing>, SinkError>> {
        self.on(Inner::list).boxed()
    }

    fn create(&self) -> BoxFuture<'_, Result<u32, SinkError>> {
        self.on(|inner| inner.make(&mut inner.state())).boxed()
    }

    fn sink(&self, number: u32) -> Result<Arc<dyn Sink>, SinkError> {
        Ok(Arc::new(EmbeddedSink::new(Arc::clone(&self.inner), number)))
    }

    fn swap(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>> {
        self.on(move |inner| inner.swap(number)).boxed()
    }

    fn remove(&self, number: u32) -> BoxFuture<'_, Result<(), SinkError>> {
        self.on(move |inner| inner.remove(number)).boxed()
    }

    fn live(&self) -> BoxFuture<'_, Result<u32, SinkError>> {
        self.on(Inner::live).boxed()
    }
}
