//! The storage engine: the queue's three key spaces, and access to them.

use std::path::Path;

use fjall::{Database, Iter, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use millstream_pipeline::queue::QueueError;
use millstream_pipeline::queue::entry::{Entry, Line};

use super::codec::{self, LineRow};

/// Sizes that the host can set.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreSize {
    pub(super) cache_bytes: u64,
    pub(super) journal_bytes: u64,
    pub(super) memtable_bytes: u64,
}

/// The key spaces of one queue. Calls block.
pub(super) struct Disk {
    db: Database,
    pub(super) work: Keyspace,
    pub(super) order: Keyspace,
    pub(super) meta: Keyspace,
}

/// Turns results of the storage engine into results of the queue.
pub(super) trait StoreResultExt<T> {
    /// Names the action that failed.
    fn during(self, action: &'static str) -> Result<T, QueueError>;
}

impl<T> StoreResultExt<T> for Result<T, fjall::Error> {
    fn during(self, action: &'static str) -> Result<T, QueueError> {
        self.map_err(|error| QueueError::Storage { action, detail: format!("{error:?}") })
    }
}

impl Disk {
    /// Opens or creates the store in `path`, whose format has been checked.
    pub(super) fn open(path: &Path, size: StoreSize) -> Result<Self, QueueError> {
        let builder = Database::builder(path)
            .cache_size(size.cache_bytes)
            .max_journaling_size(size.journal_bytes)
            .worker_threads(1);
        let db = match builder.open() {
            Err(fjall::Error::Locked) => return Err(QueueError::InUse { path: path.to_owned() }),
            Err(fjall::Error::InvalidVersion(found)) => {
                let detail = format!("it was written by another version of its store ({found:?})");
                return Err(QueueError::Format { path: path.to_owned(), detail });
            }
            opened => opened.during("opening")?,
        };
        let keyspace = |name| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(size.memtable_bytes);
            db.keyspace(name, options).during("opening")
        };
        let (work, order, meta) = (keyspace("work")?, keyspace("order")?, keyspace("meta")?);
        Ok(Self { db, work, order, meta })
    }

    /// Returns an atomic batch. If `durable`, it is on disk when its commit returns.
    pub(super) fn batch(&self, durable: bool) -> OwnedWriteBatch {
        self.db.batch().durability(Some(if durable { PersistMode::SyncAll } else { PersistMode::Buffer }))
    }

    /// Changes `meta` alone, durably.
    pub(super) fn change_meta(&self, change: impl FnOnce(&mut OwnedWriteBatch, &Keyspace)) -> Result<(), QueueError> {
        let mut batch = self.batch(true);
        change(&mut batch, &self.meta);
        batch.commit().during("writing")
    }

    /// Flushes everything to disk before the store is dropped.
    pub(super) fn persist(&self) -> Result<(), QueueError> {
        self.db.persist(PersistMode::SyncAll).during("closing")
    }

    pub(super) fn bytes(&self) -> Result<u64, QueueError> {
        self.db.disk_space().during("measuring")
    }

    /// Reads a lane's value in `meta`.
    pub(super) fn meta<T>(
        &self,
        lane: u16,
        name: &str,
        decode: impl FnOnce(&[u8]) -> Result<T, QueueError>,
    ) -> Result<Option<T>, QueueError> {
        let bytes = self.meta.get(codec::meta_key(lane, name)).during("reading")?;
        bytes.map(|bytes| decode(&bytes)).transpose()
    }

    pub(super) fn entry(&self, lane: u16, document_id: i64) -> Result<Option<Entry>, QueueError> {
        let bytes = self.work.get(codec::work_key(lane, document_id)).during("reading")?;
        bytes.map(|bytes| Entry::from_bytes(document_id, &bytes)).transpose()
    }

    /// Iterates over the rows of a line, from `from` on.
    pub(super) fn rows(&self, lane: u16, line: Line, from: LineRow) -> Iter {
        self.order.range(codec::order_key(lane, line, from)..=codec::order_key(lane, line, (u64::MAX, i64::MAX)))
    }
}
