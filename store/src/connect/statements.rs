//! The prepared statements of one connection, the least recently used of which are closed.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use tokio_postgres::Statement;

/// Prepared statements that a connection keeps. Each holds a plan in the server's session, some 10 to 40 KiB; a schema
/// has several thousand statements, and an installation uses a few hundred of them again and again.
const STATEMENTS_MAX: NonZeroUsize = NonZeroUsize::new(500).unwrap();

/// Prepared statements by their text.
pub(super) struct StatementCache(Mutex<LruCache<String, Statement>>);

impl Default for StatementCache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(STATEMENTS_MAX)))
    }
}

impl StatementCache {
    pub(super) fn get(&self, sql: &str) -> Option<Statement> {
        self.0.lock().get(sql).cloned()
    }

    /// Keeps a statement. A statement that it displaces is closed when its last user is done with it.
    pub(super) fn put(&self, sql: &str, statement: Statement) {
        let displaced = self.0.lock().push(sql.to_owned(), statement);
        drop(displaced);
    }
}
