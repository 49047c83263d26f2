//! A pool of connections, and single connections outside it.

use std::{ops::Deref, sync::Arc, time::Duration};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;

use super::{
    options::{ConnectOptions, SslMode},
    setup::SessionSetup,
    tls,
};
use crate::error::{ErrorKind, StoreError};

pub use deadpool_postgres::{Client, Transaction};

/// Limit on the wait for a pooled connection, after which the caller gets an error.
const WAIT_FOR_CONNECTION: Duration = Duration::from_secs(30);

/// Limit on connecting, handshakes included. The driver's own limit ends when TCP is connected; a peer that accepts and
/// never answers would block the caller forever.
const ESTABLISH: Duration = Duration::from_secs(15);

/// A database: a pool of connections. Clones share the pool.
///
/// Statements prepared with `prepare_cached` are kept with their connection. A connection comes back to the pool as it
/// is, without a reset (`RecyclingMethod::Fast`): code that opens a transaction by hand, changes a session setting or
/// takes a session-level lock must end it on every path. A [`Transaction`] that is dropped rolls back by itself.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    options: Arc<ConnectOptions>,
}

impl Database {
    /// Builds a pool of at most `pool_size` connections and opens the first, so that a wrong address or password is
    /// reported here.
    pub async fn connect(options: &ConnectOptions, pool_size: usize) -> Result<Self, StoreError> {
        Self::connect_with(options, pool_size, None).await
    }

    /// Connects as [`Database::connect`] does, with work on each new session.
    pub async fn connect_with(
        options: &ConnectOptions,
        pool_size: usize,
        setup: Option<Arc<dyn SessionSetup>>,
    ) -> Result<Self, StoreError> {
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = if options.ssl_mode() == SslMode::Disable {
            Manager::from_config(options.driver(), NoTls, manager_config)
        } else {
            Manager::from_config(options.driver(), tls::connector(options)?, manager_config)
        };
        let pool = Pool::builder(manager)
            .max_size(pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT_FOR_CONNECTION))
            .create_timeout(Some(ESTABLISH));
        let pool = match setup {
            Some(setup) => pool.post_create(hook(setup)),
            None => pool,
        };
        let pool =
            pool.build().map_err(|error| StoreError::other(format!("the connection pool cannot be built: {error}")))?;
        let database = Self { pool, options: Arc::new(options.clone()) };
        drop(database.get().await?);
        Ok(database)
    }

    /// Takes a connection from the pool; dropping it gives it back.
    pub async fn get(&self) -> Result<Client, StoreError> {
        match self.pool.get().await {
            Err(PoolError::PostCreateHook(HookError::Message(message))) => {
                Err(StoreError::new(ErrorKind::ConnectionLost, message))
            }
            taken => Ok(taken?),
        }
    }

    /// The options that this database was connected with.
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// The pool itself, for its counters.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Closes the pool: idle connections now, those in use when they come back. Later calls of
    /// [`Database::get`] fail, on every clone.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// Runs the work on new sessions. The pool passes its error on as text.
fn hook(setup: Arc<dyn SessionSetup>) -> Hook {
    Hook::async_fn(move |client, _| {
        let setup = Arc::clone(&setup);
        Box::pin(async move { setup.prepare(client).await.map_err(|error| HookError::message(error.to_string())) })
    })
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("options", &self.options).field("pool", &self.pool.status()).finish()
    }
}

/// One connection outside any pool; closed when dropped.
#[derive(Debug)]
pub struct Session {
    client: tokio_postgres::Client,
    connection: JoinHandle<()>,
}

impl Session {
    /// Connects.
    pub async fn open(options: &ConnectOptions) -> Result<Self, StoreError> {
        Self::open_within(options, ESTABLISH).await
    }

    /// Connects, or gives up after `limit`.
    pub async fn open_within(options: &ConnectOptions, limit: Duration) -> Result<Self, StoreError> {
        let timed_out =
            |_| StoreError::new(ErrorKind::ConnectionLost, format!("{options} did not answer within {limit:?}"));
        tokio::time::timeout(limit, Self::establish(options)).await.map_err(timed_out)?
    }

    async fn establish(options: &ConnectOptions) -> Result<Self, StoreError> {
        if options.ssl_mode() == SslMode::Disable {
            let (client, connection) = options.driver().connect(NoTls).await?;
            Ok(Self::drive(client, connection))
        } else {
            let (client, connection) = options.driver().connect(tls::connector(options)?).await?;
            Ok(Self::drive(client, connection))
        }
    }

    fn drive<F>(client: tokio_postgres::Client, connection: F) -> Self
    where
        F: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
    {
        let connection = tokio::spawn(async move {
            // Every statement in flight gets this error too; the log line records the time.
            if let Err(error) = connection.await {
                tracing::debug!(error = %StoreError::from(error), "database session ended");
            }
        });
        Self { client, connection }
    }

    /// The client, for starting transactions.
    pub fn client_mut(&mut self) -> &mut tokio_postgres::Client {
        &mut self.client
    }
}

impl Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
