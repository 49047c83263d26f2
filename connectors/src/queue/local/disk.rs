//! The store beneath: the three key spaces, and reading and writing them.

use std::path::Path;

use fjall::{Database, Iter, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};

use super::codec::{self, Row};
use millstream_pipeline::queue::QueueError;
use millstream_pipeline::queue::entry::{Entry, Line};

/// What of the store's size can be chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) cache_bytes: u64,
    pub(super) journal_bytes: u64,
    pub(super) memtable_bytes: u64,
}

/// The key spaces of a queue. Calls block.
pub(super) struct Disk {
    db: Database,
    pub(super) work: Keyspace,
    pub(super) order: Keyspace,
    pub(super) meta: Keyspace,
}

/// For `map_err`: the store failed while doing `action`.
pub(super) fn storage(action: &'static str) -> impl FnOnce(fjall::Error) -> QueueError {
    move |error| QueueError::Storage { action, detail: format!("{error:?}") }
}

impl Disk {
    /// Opens or makes the store in `path`, whose format has been checked.
    pub(super) fn open(path: &Path, size: Size) -> Result<Self, QueueError> {
        let db = Database::builder(path)
            .cache_size(size.cache_bytes)
            .max_journaling_size(size.journal_bytes)
            .worker_threads(1)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => QueueError::InUse { path: path.to_owned() },
                fjall::Error::InvalidVersion(found) => {
                    let detail = format!("it was written by another version of its store ({found:?})");
                    QueueError::Format { path: path.to_owned(), detail }
                }
                error => storage("opening")(error),
            })?;
        let keyspace = |name| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(size.memtable_bytes);
            db.keyspace(name, options).map_err(storage("opening"))
        };
        let (work, order, meta) = (keyspace("work")?, keyspace("order")?, keyspace("meta")?);
        Ok(Self { db, work, order, meta })
    }

    /// A batch that is atomic, and on disk when it is committed if it is to be `durable`.
    pub(super) fn batch(&self, durable: bool) -> OwnedWriteBatch {
        self.db.batch().durability(Some(if durable { PersistMode::SyncAll } else { PersistMode::Buffer }))
    }

    /// Changes `meta` alone, durably.
    pub(super) fn change_meta(&self, change: impl FnOnce(&mut OwnedWriteBatch, &Keyspace)) -> Result<(), QueueError> {
        let mut batch = self.batch(true);
        change(&mut batch, &self.meta);
        batch.commit().map_err(storage("writing"))
    }

    /// Flushes everything to disk before the store is dropped.
    pub(super) fn persist(&self) -> Result<(), QueueError> {
        self.db.persist(PersistMode::SyncAll).map_err(storage("closing"))
    }

    pub(super) fn bytes(&self) -> Result<u64, QueueError> {
        self.db.disk_space().map_err(storage("measuring"))
    }

    /// What stands in `meta` under a lane's key.
    pub(super) fn meta<T>(
        &self,
        lane: u16,
        what: &str,
        decode: impl FnOnce(&[u8]) -> Result<T, QueueError>,
    ) -> Result<Option<T>, QueueError> {
        let bytes = self.meta.get(codec::meta_key(lane, what)).map_err(storage("reading"))?;
        bytes.map(|bytes| decode(&bytes)).transpose()
    }

    pub(super) fn entry(&self, lane: u16, document_id: i64) -> Result<Option<Entry>, QueueError> {
        let bytes = self.work.get(codec::work_key(lane, document_id)).map_err(storage("reading"))?;
        bytes.map(|bytes| Entry::from_bytes(document_id, &bytes)).transpose()
    }

    /// The rows of a line, from `from` on.
    pub(super) fn rows(&self, lane: u16, line: Line, from: Row) -> Iter {
        self.order.range(codec::order_key(lane, line, from)..=codec::order_key(lane, line, (u64::MAX, i64::MAX)))
    }
}
