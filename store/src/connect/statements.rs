//! The prepared statements of one connection, the least recently used of which are closed.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use tokio_postgres::Statement;

/// Prepared statements by their text.
pub(super) struct StatementCache(Mutex<LruCache<String, Statement>>);

impl StatementCache {
    /// A cache of at most so many statements, one at least.
    pub(super) fn new(statements_max: usize) -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(statements_max).unwrap_or(NonZeroUsize::MIN))))
    }

    pub(super) fn get(&self, sql: &str) -> Option<Statement> {
        self.0.lock().get(sql).cloned()
    }

    /// Keeps a statement. A statement that it displaces is closed when its last user is done with it.
    pub(super) fn put(&self, sql: &str, statement: Statement) {
        let displaced = self.0.lock().push(sql.to_owned(), statement);
        drop(displaced);
    }
}
