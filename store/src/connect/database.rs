//! A pool of connections.

use std::{sync::Arc, time::Duration};

use deadpool::{
    Runtime,
    managed::{Pool, PoolError, TimeoutType},
};

use super::{
    manager::{Client, SessionManager},
    options::ConnectOptions,
    settings::SessionSettings,
    setup::SessionSetup,
    trust::Trust,
};
use crate::error::{ErrorKind, StoreError};

pub use deadpool::Status as PoolStatus;

/// Prepared statements that a session keeps: a schema has several thousand, and an installation uses a few hundred of them
/// again and again.
const STATEMENTS_MAX: usize = 500;

/// The properties of a pool.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Connections at most.
    pub size: usize,
    /// Limit on the wait for a connection, after which the caller gets an error of kind [`ErrorKind::Connect`]. The
    /// caller has sent nothing then.
    pub wait: Duration,
    /// The settings of each session.
    pub settings: SessionSettings,
    /// Limit on this side of each statement; the session of one that exceeds it is closed. It holds even if the server
    /// hangs. See [`Connection::set_statement_limit`](super::Connection::set_statement_limit).
    pub statement_limit: Option<Duration>,
    /// Prepared statements that a session keeps. Each holds a plan in the server's session, some 10 to 40 KiB.
    pub statements_max: usize,
    /// Work on each new session.
    pub setup: Option<Arc<dyn SessionSetup>>,
}

impl PoolOptions {
    /// A pool of at most `size` connections with the default settings, whose callers wait for 30 s at most.
    pub fn of_size(size: usize) -> Self {
        let settings = SessionSettings::default();
        let statements_max = STATEMENTS_MAX;
        Self { size, wait: Duration::from_secs(30), settings, statement_limit: None, statements_max, setup: None }
    }
}

/// A database: a pool of connections. Clones share the pool.
///
/// Statements prepared with `prepare_cached` are kept with their connection. A connection comes back to the pool as it
/// is, without a reset: code that opens a transaction by hand, changes a session setting or takes a session-level lock
/// must end it on every path. A [`Transaction`](super::Transaction) that is dropped rolls back by itself. A connection
/// is replaced when it is closed or old, when its server said that it goes away or only reads, and when its statement
/// was abandoned.
#[derive(Clone)]
pub struct Database {
    pool: Pool<SessionManager>,
    options: Arc<ConnectOptions>,
}

impl Database {
    /// Builds a pool of at most `pool_size` connections and opens the first, so that a wrong address or password is
    /// reported here.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn connect(options: &ConnectOptions, pool_size: usize) -> Result<Self, StoreError> {
        let database = Self::new(options, PoolOptions::of_size(pool_size))?;
        drop(database.get().await?);
        Ok(database)
    }

    /// Builds a pool that opens connections when they are needed.
    ///
    /// # Errors
    /// When the pool cannot be built.
    pub fn new(options: &ConnectOptions, pool: PoolOptions) -> Result<Self, StoreError> {
        let options = Arc::new(options.clone());
        let PoolOptions { size, wait, settings, statement_limit, statements_max, setup } = pool;
        let manager = SessionManager {
            options: Arc::clone(&options),
            settings,
            statement_limit,
            statements_max,
            setup,
            trust: Arc::new(Trust::new()),
        };
        let pool = Pool::builder(manager)
            .max_size(size.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(wait))
            .build()
            .map_err(|error| StoreError::other(format!("the connection pool cannot be built: {error}")))?;
        Ok(Self { pool, options })
    }

    /// Takes a connection from the pool; dropping it gives it back.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Connect`]: when no connection became free in time, or none can be opened. An error of
    /// [`SessionSetup`] is returned as it is.
    pub async fn get(&self) -> Result<Client, StoreError> {
        self.pool.get().await.map_err(|error| self.pool_error(error))
    }

    /// The options that this database was connected with.
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// The counters of the pool.
    pub fn status(&self) -> PoolStatus {
        self.pool.status()
    }

    /// Closes the pool: idle connections now, those in use when they come back. Later calls of
    /// [`Database::get`] fail, on every clone.
    pub fn close(&self) {
        self.pool.close();
    }

    fn pool_error(&self, error: PoolError<StoreError>) -> StoreError {
        let message = match error {
            PoolError::Backend(error) => return error,
            PoolError::Timeout(TimeoutType::Wait) => format!(
                "none of the {} pooled connections to PostgreSQL became free in time: raise database.pool_size or lower \
                 the load",
                self.pool.status().max_size
            ),
            PoolError::Closed => "the connection pool is closed".to_owned(),
            other => format!("the connection pool failed: {other}"),
        };
        StoreError::new(ErrorKind::Connect, message)
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("options", &self.options).field("pool", &self.pool.status()).finish()
    }
}
